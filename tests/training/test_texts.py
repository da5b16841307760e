import os
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minibitnet.training.texts import (
    LONGEST_SPACE,
    draw_batch,
    encode_documents,
    read_documents,
    split_documents,
)


def test_every_token_of_a_batch_follows_the_one_before_in_the_row():
    row = np.arange(1000)
    ids = draw_batch(row, batch_size=50, context=7, seed=0, step=3)
    assert ids.shape == (50, 8)
    assert_array_equal(ids - ids[:, :1], np.tile(np.arange(8), (50, 1)))
    assert len({*ids[:, 0]}) > 40
    assert (draw_batch(row, 50, 7, 0, 4) != ids).any()
    assert (draw_batch(row, 50, 7, 1, 3) != ids).any()


def test_every_position_of_a_row_can_be_drawn_to_the_last():
    ids = draw_batch(np.arange(10), batch_size=200, context=7, seed=0, step=0)
    assert {*ids[:, 0]} == {0, 1, 2}
    ids = draw_batch(np.arange(8), batch_size=3, context=7, seed=0, step=0)
    assert_array_equal(ids, np.tile(np.arange(8), (3, 1)))


def test_documents_are_split_and_stripped(tmp_path):
    (tmp_path / "a").write_text("One.<|endoftext|>\n\nTwo.\n<|endoftext|>\n")
    (tmp_path / "b").write_text("Three.")
    files = [tmp_path / "a", tmp_path / "b"]
    assert read_documents(files) == ["One.", "Two.", "Three."]


@pytest.mark.parametrize("text", ["", "  <|endoftext|> ", "\ufeff", "\ufeff\r\n"])
def test_files_without_text_are_refused(tmp_path, text):
    (tmp_path / "b").write_text("Text.")
    (tmp_path / "c").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match="c: expected text, found none"):
        read_documents([tmp_path / "b", tmp_path / "c"])


def test_what_some_programs_write_around_text_is_not_learned(tmp_path):
    (tmp_path / "a").write_bytes(b"\xef\xbb\xbfOne.\r\nTwo.\rThree.\xef\xbb\xbf")
    assert read_documents([tmp_path / "a"]) == ["One.\nTwo.\nThree.\ufeff"]


def test_a_file_that_is_not_in_utf_8_is_named_with_the_position(tmp_path):
    (tmp_path / "a").write_text("fine")
    (tmp_path / "b").write_bytes(b"One.\nCaf\xe9")
    complaint = r"b: expected text in UTF-8, found byte 0xe9 at position 8, line 2"
    with pytest.raises(ValueError, match=complaint):
        read_documents([tmp_path / "a", tmp_path / "b"])


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_not_read(tmp_path, make):
    make(tmp_path / "it")
    with pytest.raises(ValueError, match="it: expected a file, found something else"):
        read_documents([tmp_path / "it"])
    with pytest.raises(ValueError, match="zero: expected a file, found something else"):
        read_documents([Path("/dev/zero")])


def test_more_spaces_than_the_library_takes_are_refused(tmp_path):
    file = tmp_path / "a"
    file.write_text("a" + " \n" * (LONGEST_SPACE // 2) + "b")
    assert len(read_documents([file])) == 1
    file.write_text("a b" + " " * (LONGEST_SPACE + 1) + "c")
    with pytest.raises(ValueError, match="a: .* in a row, found more at position 3"):
        read_documents([file])


def test_documents_are_framed(inner):
    begin, end = (inner.token_to_id(f"<|{w}_of_text|>") for w in ("begin", "end"))
    one, two = (inner.encode(w, add_special_tokens=False).ids for w in ("One.", "Two."))
    row = encode_documents(inner, ["One.", "Two."])
    assert row.tolist() == [begin, *one, end, begin, *two, end]
    assert row.dtype == np.int32


def test_an_answer_is_encoded_by_itself(inner):
    row = encode_documents(inner, ["User: Hi<|eot_id|>Assistant: The fox<|eot_id|>"])
    prompt = inner.encode("User: Hi<|eot_id|>Assistant: ").ids
    assert row[: len(prompt)].tolist() == prompt
    assert inner.decode(row[len(prompt) :].tolist()) == "The fox"


@pytest.mark.parametrize(("share", "count"), [(0, 0), (0.1, 2), (0.25, 5), (0.9, 10)])
def test_a_share_of_documents_is_held_out(share, count):
    documents = [str(n) for n in range(20)]
    learn, held_out = split_documents(documents, share)
    assert len(held_out) == count
    assert sorted(learn + held_out, key=int) == documents


def test_of_one_document_nothing_is_held_out():
    assert split_documents(["a"], 0.5) == (["a"], [])
    assert split_documents(["a", "b"], 0.5) == (["a"], ["b"])
    assert split_documents(["a", "b"], 1e-320) == (["a", "b"], [])  # 1 / x is infinite


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_cannot_be_is_refused(share):
    with pytest.raises(ValueError, match=f"held_out must be .* got {share}"):
        split_documents(["a", "b"], share)
