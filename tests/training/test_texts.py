import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minibitnet.training.texts import (
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


def test_files_without_text_are_refused(tmp_path):
    (tmp_path / "c").write_text("  <|endoftext|> ")
    with pytest.raises(ValueError, match="c: expected text, found none"):
        read_documents([tmp_path / "c"])


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


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_a_share_that_cannot_be_is_refused(share):
    with pytest.raises(ValueError, match=f"held_out must be .* got {share}"):
        split_documents(["a", "b"], share)
