import numpy as np
import pytest
from callbacks import print_node
from numpy.testing import assert_array_equal

from minibitnet.golden.dumps import read_dump, read_numbers, stage_name
from minibitnet.golden.names import EMBED, FINAL_NORM, IN_A_BLOCK, LOGITS
from minibitnet.golden.traces import write_trace

ROWS = np.float32([[1, 2], [3, 4]])


def test_every_stage_has_its_names():
    for stage in IN_A_BLOCK:
        assert stage_name(f"layers.12.{stage.name}") == f"layers.12.{stage.name}"
        if stage.hf:
            name = f"model.layers.12.{stage.hf}"
            assert stage_name(name) == f"layers.12.{stage.name}"
    for stage in (EMBED, FINAL_NORM, LOGITS):
        assert stage_name(stage.hf) == stage_name(stage.name) == stage.name
    assert stage_name("model.layers.3") == "layers.3.ffn_residual"
    assert stage_name("model.layers.3.mlp") == "layers.3.down"
    assert stage_name("model.layers.3.self_attn") == "layers.3.o"


@pytest.mark.parametrize(
    "name",
    ["q", "layers.0.qq", "layers.x.q", "layers.0", "model", "model.layers.0.mlp.act_fn",
     "model.layers.0.q", "layers.0.self_attn.q_proj", "blk.0.attn_q", "", "logits "],
)  # fmt: skip
def test_other_names_are_none(name):
    assert stage_name(name) is None


@pytest.mark.parametrize("form", ["trace", "trace.npz", "trace.trace"])
def test_a_trace_is_read_with_its_ids(tmp_path, form):
    write_trace(tmp_path / form, {"layers.0.q": ROWS, "embed": ROWS}, [7, 8])
    dump = read_dump(tmp_path / form)
    assert_array_equal(dump.ids, [7, 8])
    assert {*dump.stages} == {"layers.0.q", "embed"}
    assert_array_equal(dump.stages["embed"].values, ROWS)


def test_what_hooks_wrote_is_read_and_a_single_file(tmp_path):
    np.save(tmp_path / "model.layers.0.self_attn.q_proj.npy", ROWS[None])
    np.save(tmp_path / "lm_head.npy", ROWS[None])
    dump = read_dump(tmp_path)
    assert dump.ids is None
    assert {*dump.stages} == {"layers.0.q", "logits"}
    alone = read_dump(tmp_path / "lm_head.npy")
    assert_array_equal(alone.stages["logits"].values, ROWS[None])


def test_a_text_is_the_stage_of_its_name(tmp_path):
    (tmp_path / "layers.0.q.acc.txt").write_text("1, -2\n3 4\n")
    dump = read_dump(tmp_path / "layers.0.q.acc.txt")
    assert_array_equal(dump.stages["layers.0.q.acc"].values, [1, -2, 3, 4])
    (tmp_path / "log").write_text(print_node("l_out-4", "ADD", ROWS))
    assert [*read_dump(tmp_path / "log").stages] == ["layers.4.ffn_residual"]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("1.25 -3.50", [0.005, 0.005]),  # %.2f
        ("7 12", [0.5, 0.5]),
        ("0.123456 1234.56 0", [0.5e-6, 0.5e-2, 0.5e-5]),  # %g, six digits
        ("1e-3 2.5e10", [0.5e-4, 0.5e9]),
        (".5 nan -inf 100", [0.5e-3, 0.5e-2, 0.5e-2, 0.5]),
    ],
)
def test_a_printed_number_is_as_exact_as_its_last_digit(text, error):
    seen = read_numbers(text, "logits.txt")
    assert np.broadcast_to(seen.error, seen.values.shape) == pytest.approx(error)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("out.txt", b"1 2", "expected what llama-eval-callback prints, or"),
        ("logits.txt", b"", "expected numbers, found none"),
        ("logits.csv", b"1 2 \x1b[2J", r"expected numbers, found '\\x1b'"),
        ("logits.dat", b"1_0", "expected numbers, found '1_0'"),
        (
            "logits.bin",
            b"\xff",
            "expected a text, .npy, .npz or .trace, found byte 0xff",
        ),
        ("logits.npy", b"\x93NUMPY", "expected a whole .npy"),
    ],
)
def test_a_file_that_is_not_understood_is_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_dump(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_a_folder_that_is_not_understood_is_refused(tmp_path):
    with pytest.raises(ValueError, match="found nothing"):
        read_dump(tmp_path / "nowhere")
    np.save(tmp_path / "lm_head.npy", ROWS)
    np.save(tmp_path / "logits.npy", ROWS)
    with pytest.raises(ValueError, match="expected logits once, found it twice"):
        read_dump(tmp_path)
    (tmp_path / "lm_head.npy").rename(tmp_path / "head.npy")
    with pytest.raises(ValueError, match="expected the name of a stage, .* 'head'"):
        read_dump(tmp_path)


def test_a_text_too_long_is_refused(tmp_path):
    with (tmp_path / "logits.txt").open("wb") as file:
        file.truncate(2**28 + 1)
    with pytest.raises(ValueError, match="at most 268435456 bytes, found 268435457"):
        read_dump(tmp_path / "logits.txt")


@pytest.mark.parametrize(
    "written",
    [
        lambda x: str(x.tolist()),  # of Python
        lambda x: "\n".join(",".join(map(str, row)) for row in x),  # the shortest
        lambda x: np.array2string(x, threshold=x.size),  # %f, but for zeros at the end
        lambda x: "{" + "; ".join(f"{v:.9g}" for v in x.ravel()) + "}",  # of C
    ],
    ids=["list", "shortest", "array", "braces"],
)
def test_numbers_are_equal_however_a_language_prints_them(tmp_path, written):
    x = np.random.default_rng(3).normal(size=(7, 48)).astype(np.float32)
    x[0, :3] = 0.5, 1e-4, 100
    (tmp_path / "layers.0.q.txt").write_text(written(x))
    seen = read_dump(tmp_path / "layers.0.q.txt").stages["layers.0.q"].in_rows("q", 48)
    assert seen.distance(x) == 0
    x[3, 5] += 1e-6 * x[3, 5]
    assert 0 < seen.distance(x) < 1e-5


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig"])
def test_a_text_that_windows_wrote_is_read(tmp_path, encoding):
    (tmp_path / "logits.txt").write_text("0.25\r\n1.50\r\n", encoding=encoding)
    seen = read_dump(tmp_path / "logits.txt").stages["logits"]
    np.testing.assert_array_equal(seen.values, [0.25, 1.5])
