import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibitnet.tokenizer import load_tokenizer
from minibitnet.training.vocabulary import SMALLEST, save_vocabulary, train_vocabulary


@given(text=st.text(max_size=20).filter(lambda text: "<|" not in text))
def test_a_vocabulary_of_bytes_spells_anything(text):
    plain = train_vocabulary([], SMALLEST)
    ids = plain.encode(text, add_special_tokens=False).ids
    assert plain.decode(ids) == text
    assert len(ids) == len(text.encode())


def test_a_vocabulary_without_room_for_the_bytes_is_refused():
    with pytest.raises(ValueError, match="size must be 259 or more, got 258"):
        train_vocabulary([], SMALLEST - 1)
    with pytest.raises(ValueError, match="size must be 16777216 or less"):
        train_vocabulary([], 10**20)


def test_numbers_are_split_in_threes(inner):
    assert inner.pre_tokenizer.pre_tokenize_str("a 12345") == [
        ("a", (0, 1)),
        ("Ġ", (1, 2)),
        ("123", (2, 5)),
        ("45", (5, 7)),
    ]


def test_special_tokens_have_the_highest_ids(inner):
    names = ("<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>")
    highest = inner.get_vocab_size() - 1
    found = [inner.token_to_id(name) for name in names]
    assert found == [highest - 2, highest - 1, highest]


def test_what_is_saved_is_loaded_as_a_tokenizer_that_can_chat(inner, tmp_path):
    save_vocabulary(inner, tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    text = "The fox saw the crow."
    assert tokenizer.encode(text) == inner.encode(text).ids
    ids = tokenizer.chat([{"role": "user", "content": "The fox"}])
    text = "User: The fox<|eot_id|>Assistant: "
    assert ids == inner.encode(text).ids
    page = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert page["eos_token"] == "<|eot_id|>"
    assert page["bos_token"] == "<|begin_of_text|>"
