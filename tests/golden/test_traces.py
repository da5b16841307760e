import io
import json
import os
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import minibitnet as mb
from minibitnet import one_page
from minibitnet.golden.traces import read_stream, read_trace, record, write_trace
from minibitnet.stories import BUILT_IN

IDS = [4093, 484, 493, 258, 427]
FORMS = ["trace", "trace.npz", "trace.trace"]


@pytest.fixture(scope="module")
def stages():
    return record(mb.load()[0], IDS)


def assert_equal(found, expected):
    assert [*found] == [*expected]
    for name, array in expected.items():
        assert_array_equal(found[name], array, err_msg=name, strict=True)


def test_a_trace_is_that_of_the_page_without_attention_weights(stages):
    page = {}
    one_page.forward(*one_page.load(BUILT_IN), IDS, [], page)
    left = {k: v for k, v in page.items() if not k.endswith("attn_weights")}
    assert len(page) - len(left) == 6
    assert_equal(stages, left)


@pytest.mark.parametrize("pieces", [[5], [3, 1, 1], [1] * 5, [2, 3]])
def test_pieces_are_laid_end_to_end_and_are_the_same_numbers(stages, pieces):
    assert_equal(record(mb.load()[0], IDS, pieces), stages)


@pytest.mark.parametrize("pieces", [[4], [5, 1], []])
def test_pieces_must_be_all_the_tokens(pieces):
    with pytest.raises(ValueError, match="pieces must be 5 tokens together"):
        record(mb.load()[0], IDS, pieces)


@pytest.mark.parametrize("form", FORMS)
def test_what_was_written_is_read(stages, form, tmp_path):
    write_trace(tmp_path / form, stages, IDS, "stories")
    found = read_trace(tmp_path / form)
    expected = {"ids": np.array(IDS)} | stages
    assert_equal({name: found[name] for name in expected}, expected)
    assert found.keys() == expected.keys()


def test_a_directory_says_what_it_is(stages, tmp_path):
    write_trace(tmp_path / "new", stages, IDS, "stories")
    content = json.loads((tmp_path / "new" / "trace.json").read_text())
    assert (content["contract"], content["model"]) == (2, "stories")
    with pytest.raises(ValueError, match="an empty directory"):
        write_trace(tmp_path / "new", stages, IDS)


@pytest.mark.parametrize("form", FORMS[1:])
def test_a_trace_that_breaks_off_leaves_nothing(stages, form, tmp_path, monkeypatch):
    def full(*given):
        raise OSError("no space left on the device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="no space"):
        write_trace(tmp_path / form, stages, IDS)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("array", [np.zeros((4, 2)), np.zeros(())])
def test_every_array_must_have_a_row_for_each_token(array, tmp_path):
    with pytest.raises(ValueError, match="q must have 5 rows"):
        write_trace(tmp_path / "new", {"q": array}, IDS)


def test_weights_of_attention_are_left_out(tmp_path):
    stages = {"embed": np.ones((1, 2)), "layers.0.attn_weights": np.ones((3, 1, 1))}
    write_trace(tmp_path / "a.npz", stages, [7])
    assert [*read_trace(tmp_path / "a.npz")] == ["ids", "embed"]


@given(st.binary(max_size=200) | st.binary(max_size=60).map(b"q int8 2 2\n".__add__))
@settings(max_examples=50)
def test_any_bytes_are_a_stream_or_refused(raw):
    stages, message = {}, ""
    try:
        stages = read_stream(io.BytesIO(raw))
    except ValueError as error:
        message = str(error)
    assert message[:500].isprintable()
    assert len(message) < 500
    assert sum(array.nbytes for array in stages.values()) <= len(raw)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"q float64 1\n" + bytes(8), "with a dtype of int8"),
        (b"q int8 -1\n", "expected a line"),
        (b"q int8\n", "expected a line"),
        (b"q int8 3", "expected a line"),
        (b"q int8 3\nab", "q: expected 3 bytes, found 2"),
        (b"q int32 99999999 99999999\nab", "expected .* bytes, found 2"),
        (b"q int8 1\na" + b"q uint8 1\na", "more rows of int8"),
        (b"q int8 1 1\na" + b"q int8 1 2\nab", "more rows of int8"),
    ],
)
def test_a_damaged_stream_is_refused(raw, message):
    with pytest.raises(ValueError, match=message):
        read_stream(io.BytesIO(raw))


def test_what_is_no_trace_is_refused(tmp_path):
    def refused(path, message):
        with pytest.raises(ValueError, match=re.escape(message)):
            read_trace(path)

    refused(tmp_path / "none", "expected a trace, found no such file")
    refused(tmp_path, "expected a trace, found no arrays")
    (tmp_path / "a.bin").write_bytes(b"")
    refused(tmp_path / "a.bin", "found '.bin'")
    (tmp_path / "a.npz").write_bytes(b"PK\3\4 broken")
    refused(tmp_path / "a.npz", "expected a whole .npz")


def test_what_is_no_array_of_numbers_is_refused(tmp_path):
    def refused(folder, message):
        with pytest.raises(ValueError, match=re.escape(message)):
            read_trace(folder)

    folder = tmp_path
    np.save(folder / "q.npy", np.ones((2, 2)))
    whole = (folder / "q.npy").read_bytes()
    for raw in (b"", whole[:-1], whole[:20], whole.replace(b"(2, 2)", b"(9**9,)")):
        (folder / "q.npy").write_bytes(raw)
        refused(folder, "q.npy: expected a whole .npy")
    np.save(folder / "q.npy", np.array([{}], object), allow_pickle=True)
    refused(folder, "q.npy: expected a whole .npy")
    np.save(folder / "q.npy", np.array(["a"]))
    refused(folder, "found <U1 (1,) 'q'")
    np.save(folder / "q.npy", np.float32(3))
    refused(folder, "found float32 () 'q'")
    np.save(folder / "q.npy", np.ones(1))
    np.save(folder / "\x1b[31m.npy", np.ones(1))
    refused(folder, r"'\x1b[31m'")


@pytest.mark.skipif(os.name != "posix", reason="needs pipes in the file system")
def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "a.trace")
    with pytest.raises(ValueError, match="no such file"):
        read_trace(tmp_path / "a.trace")
    os.mkfifo(tmp_path / "q.npy")
    with pytest.raises(ValueError, match="expected a file"):
        read_trace(tmp_path)


def test_numbers_of_other_byte_orders_and_layouts_are_the_same_numbers(tmp_path):
    right = np.arange(6, dtype=np.float32).reshape(2, 3)
    np.save(tmp_path / "q.npy", np.asfortranarray(right.astype(">f4")))
    assert_array_equal(read_trace(tmp_path)["q"], right, strict=True)
