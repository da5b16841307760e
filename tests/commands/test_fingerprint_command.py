import json
import shutil

import pytest

from minibitnet.stories import BUILT_IN

IDS = ("--ids", "5,6,7")


def test_a_fingerprint_is_printed_or_written_and_checked(run, tmp_path, checkpoint):
    status, text, _ = run("fingerprint", checkpoint, *IDS)
    made = json.loads(text)
    assert (status, made["ids"], made["text"]) == (0, [5, 6, 7], None)
    file = tmp_path / "f.json"
    out = run("fingerprint", checkpoint, *IDS, "--out", file)
    assert out == (0, f"{file}\n", "")
    assert file.read_text() == text
    status, out, _ = run("fingerprint", checkpoint, "--check", file)
    assert (status, out.count(": equal ("), out.count("\n")) == (0, 5, 5)
    made["stages"]["layers.1.k.acc"]["rows"][1] = "0" * 16
    file.write_text(json.dumps(made))
    status, out, _ = run("fingerprint", checkpoint, "--check", file)
    assert (status, out.count(": equal (")) == (1, 4)
    assert "differ, first layers.1.k.acc, position 1: rows: expected 0000" in out
    status, out, _ = run("fingerprint", checkpoint, "--check", file, "--json")
    report = json.loads(out)
    assert (status, report["equal"]) == (1, False)
    assert [part["differ"] for part in report["parts"]] == [0, 0, 1, 0, 0]


def test_the_built_in_model_has_one(run):
    file = BUILT_IN / "fingerprint.json"
    status, out, _ = run("fingerprint", "--check", file)
    assert (status, "tokenizer: equal (1)\n" in out) == (0, True)
    assert (
        json.loads(run("fingerprint")[1])["ids"] == json.loads(file.read_text())["ids"]
    )
    made = json.loads(run("fingerprint", "--text", "Hello [a]\n b")[1])
    assert (made["text"], len(made["ids"]) > 4) == ("Hello [a]\n b", True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--text", "a"), "--text: expected a model with a tokenizer, got"),
        (("--ids", "1,x"), "--ids: expected whole numbers"),
        (("--ids", "97"), "ids must be from 0 to 96, got 97"),
        (("--ids", "1 " * 65), "ids must be at most 64 for a fingerprint, got 65"),
        ((*IDS, "--text", "a"), "not allowed with argument"),
        ((*IDS, "--check", "a"), "not allowed with argument"),
        (("--check", "a", "--out", "b"), "--out: expected a fingerprint to write"),
        (("--check", "none.json"), "none.json: No such file"),
        (("--check", str(BUILT_IN / "config.json")), "config.json: format: expected"),
        (("--out", "no/such/place.json"), "No such file"),
        ((*IDS, "--out", "."), ".: expected a file, found something else"),
        ((*IDS, "--out", "/dev/null"), "/dev/null: expected a file, found something"),
    ],
)
def test_mistakes_are_one_line(run, checkpoint, words, message):
    status, out, err = run("fingerprint", checkpoint, *words)
    assert (status, out) == (2, "")
    assert message in err
    assert (err[:12], err.count("\n")) == ("minibitnet: ", 1)


def test_doctor_goes_by_the_fingerprint_where_there_is_one(run, tmp_path, checkpoint):
    model = shutil.copytree(checkpoint, tmp_path / "model")
    run("fingerprint", model, *IDS, "--out", model / "fingerprint.json")
    status, out, _ = run("doctor", "--model", model)
    assert (status, "ok    fingerprint, stages: equal (" in out) == (0, True)
    assert "SHA-256" not in out
    made = json.loads((model / "fingerprint.json").read_text())
    made["weights"]["model.norm.weight"]["values"] = "0" * 64
    (model / "fingerprint.json").write_text(json.dumps(made))
    status, out, _ = run("doctor", "--model", model)
    assert (status, out.count("FAIL")) == (1, 1)
    assert "FAIL  fingerprint, weights: 1 of " in out
