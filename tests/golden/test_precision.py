import numpy as np
import pytest
from small import SMALL, SMALL_LLAMA
from test_rungs import RECORDED

import minibitnet as mb
from minibitnet.checkpoint.synth import write_checkpoint
from minibitnet.files.jsonfile import CheckpointError
from minibitnet.golden import precision
from minibitnet.golden.precision import check_packed, climb, measure
from minibitnet.golden.rungs import RUNGS
from minibitnet.stories import BUILT_IN


@pytest.fixture(scope="module")
def ladder():
    model, tokenizer = mb.load()
    return climb(BUILT_IN, model, tokenizer.encode("Once upon a time"), 40)


def test_each_rung_is_further_down_than_the_one_before(ladder):
    assert [rung.name for rung in ladder] == [*RUNGS]
    far = [rung.distances["final_norm"] for rung in ladder]
    assert 0 < far[0] < 1e-6 < 1e-4 < far[1] < far[2] < 0.05
    codes = [rung.distances["layers.5.ffn_in.codes"] for rung in ladder]
    assert codes[0] == 0 < codes[1] < codes[2] == 1


def test_dequantizing_alone_moves_no_code_and_no_token(ladder):
    assert (ladder[0].first_code, ladder[0].first_token) == (None, None)


def test_in_bfloat16_the_codes_part_at_once(ladder):
    assert ladder[2].first_code == (0, "layers.0.attn_in.codes")
    assert 0 < ladder[1].first_code[0] < 44


def test_all_stages_are_measured_but_the_sums_and_what_is_only_looked_at(ladder):
    model, _ = mb.load()
    with mb.trace() as stages:
        mb.forward(model, [1])
    left_out = (".acc", "attn_weights")
    names = [name for name in stages if not name.endswith(left_out)]
    assert all([*rung.distances] == names for rung in ladder)


def test_the_first_other_code_is_that_of_the_earliest_token():
    right = {
        "layers.0.attn_in.codes": np.int8([[1, 2], [1, 2], [3, 4]]),
        "layers.1.attn_in.codes": np.int8([[1, 2], [1, 2], [3, 4]]),
        "logits": np.float32([[1, 2], [1, 2], [1, 2]]),
    }
    found = {name: array.copy() for name, array in right.items()}
    found["layers.0.attn_in.codes"][2] += 1
    found["layers.1.attn_in.codes"][1, 0] += 1
    found["logits"][0, 0] = found["logits"][2, 0] = 3
    rung = measure("", right, found, prompt=1)
    assert rung.first_code == (1, "layers.1.attn_in.codes")
    assert rung.first_token == 0
    assert measure("", right, found, prompt=2).first_token == 1
    assert rung.distances["layers.1.attn_in.codes"] == 1 / 3
    rung = measure("", right, right, prompt=1)
    assert (rung.first_code, rung.first_token, {*rung.distances.values()}) == (
        None,
        None,
        {0.0},
    )


def test_no_more_is_read_than_the_context_holds(tmp_path):
    directory = write_checkpoint(tmp_path, SMALL, seed=1)
    rungs = climb(directory, mb.load(directory)[0], [3, 4], 1000)
    assert len(rungs) == len(RUNGS)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("packed_divides", "found some that divide"),
        ("master_tied", "found model.layers.0.mlp.down_proj.weight of BF16"),
    ],
)
def test_what_transformers_computes_otherwise_is_refused(name, message):
    with pytest.raises(CheckpointError, match=f"{name}: expected .*{message}"):
        climb(RECORDED / name, None, [1], 1)


def test_a_gguf_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match=r"m\.gguf: expected a directory"):
        check_packed(tmp_path / "m.gguf")


def test_llama_is_refused_where_its_scales_divide(tmp_path):
    with pytest.raises(CheckpointError, match="found some that divide"):
        check_packed(write_checkpoint(tmp_path, SMALL_LLAMA, seed=1))


def test_a_page_that_reads_another_model_is_noticed(tmp_path, monkeypatch):
    directory = write_checkpoint(tmp_path, SMALL, seed=1)
    model, _ = mb.load(directory)

    def refuse(path, ids, names):
        raise ValueError(f"{path} {ids} {names}")

    monkeypatch.setattr(precision, "run_page", refuse)
    with pytest.raises(ValueError, match=r"\[3\] \['final_norm'\]"):
        climb(directory, model, [3, 4], 1)
