import json

import pytest

from minibitnet.stories import BUILT_IN


def test_the_tables_for_people_and_programs(run):
    status, text, err = run("precision", "--new", "12")
    assert (status, err) == (0, "")
    lines = text.splitlines()
    assert lines[0] == "| tokens | dequantized | float32 | bfloat16 |"
    assert lines[2].startswith("| read before another code | all | ")
    assert lines[2].endswith(" | 0 (layers.0.attn_in.codes) |")
    assert lines[3].startswith("| written before another one | all | ")
    rows = {line.split(" | ")[0]: line for line in lines[7:]}
    assert "| q.acc" not in rows
    assert rows["| attn_in.codes"].startswith("| attn_in.codes | 0 % - 0 % | ")
    assert rows["| logits"].count("-") == 3  # a single number each
    status, text, _ = run("precision", "--new", "12", "--json")
    report = json.loads(text)
    assert (status, len(report["ids"])) == (0, 9)
    rungs = report["rungs"]
    assert [rung["name"] for rung in rungs] == ["dequantized", "float32", "bfloat16"]
    assert rungs[2]["first_code"] == [0, "layers.0.attn_in.codes"]
    shown = f"{rungs[2]['distances']['logits']:.1e}"
    assert rows["| logits"].endswith(f" | {shown} |")


def test_a_model_without_tokenizer_reads_ids(run, checkpoint):
    status, text, err = run("precision", checkpoint, "--ids", "1,2,3", "--new", "0")
    if status == 0:
        assert "| relu2_gate | " in text
    else:  # the one like Llama
        assert "scales that multiply, found some that divide" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--new", "-1"), "--new: expected a whole number from 0"),
        (("--ids", "4096"), "ids must be from 0 to 4095, got 4096"),
        (("--ids", "1", "--text", "a"), "not allowed with argument"),
    ],
)
def test_mistakes_are_one_line(run, words, message):
    status, out, err = run("precision", BUILT_IN, *words)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
