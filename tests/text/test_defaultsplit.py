import json
import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared import DATA, REAL, needs_shared
from tokenizers import Tokenizer, models

import minibitnet as mb
from minibitnet.bpe import BPE
from minibitnet.text.defaultsplit import by_default
from minibitnet.text.library import Library
from minibitnet.text.tokenizerfile import BYTES
from minibitnet.text.tokenizerpage import tokenizer_page
from minibitnet.tokenizer import load_tokenizer

LETTERS = "aZst\xe9ſ日ا"
NUMBERS = "0123٣²Ⅷ"
OTHERS = " \t\n\xa0'\"_-.,!«»…$+<=>^~|`\u20ac\xa9\u0301"


def kind(character):
    """A character that stands for all that the patterns treat like this one."""
    category = unicodedata.category(character)
    if category[0] == "P" or character in "$+<=>^~|":
        return "."
    if character.isspace():
        return " " if character == " " else "\t"
    if character.isdecimal() and character.isascii():
        return "0"
    return {"L": "a", "N": "N"}.get(category[0], "#")


def plain_split(text):
    """The pieces: pattern after pattern, each on what those before it left.

    No contraction is looked for, since the first pattern has cut out the apostrophe.
    """
    kinds = "".join(map(kind, text))
    pieces = [(0, len(text))]
    for pattern in (r"\.+", r" ?a+| ?[0N]+| ?[.#]+|\s+(?!\S)", "[0N]+", "000"):
        cut = []
        for start, end in pieces:
            marks = {start, end}
            for found in re.finditer(pattern, kinds[start:end]):
                marks |= {start + found.start(), start + found.end()}
            ordered = sorted(marks)
            cut += zip(ordered, ordered[1:], strict=False)
        pieces = cut
    return [text[start:end] for start, end in pieces]


@pytest.fixture(scope="module")
def built_in():
    return mb.load()[1].inner


@given(text=st.text(LETTERS + NUMBERS + OTHERS, min_size=1, max_size=20))
def test_pieces_are_those_of_the_patterns_one_after_the_other(built_in, text):
    pieces = by_default(built_in).library.pre_tokenizer.pre_tokenize_str(text)
    # a piece of bytes has the place of its letters
    assert [text[slice(*place)] for _, place in pieces] == plain_split(text)


def test_the_text_stays_and_more_tokens_spell_it(built_in):
    text = "I don't know, it's 12345 o'clock. We're late!"
    other = by_default(built_in)
    assert other.decode(other.encode(text)) == text
    assert other.bos_ids == built_in.bos_ids
    assert "'t" in [built_in.decode([i]) for i in built_in.encode("don't")]
    assert "'t" not in [other.decode([i]) for i in other.encode("don't")]


def test_a_word_that_is_a_token_is_merged_like_any_other():
    ids = {letter: i for i, letter in enumerate(BYTES)} | {"the": 256}
    page = tokenizer_page(ids, [], added=[], bos=None)
    inner = Library(Tokenizer.from_str(json.dumps(page)))
    assert inner.encode("the") == [256]
    assert by_default(inner).encode("the") == [ids[letter] for letter in "the"]


def test_other_kinds_of_tokenizers_are_refused(built_in):
    with pytest.raises(ValueError, match="needs the tokenizers library"):
        by_default(BPE({}, {}, False, special={}, spelled={}, bos_ids=[]))
    words = Library(Tokenizer(models.WordLevel({"a": 0}, "a")))
    with pytest.raises(ValueError, match="has WordLevel and the decoder None"):
        by_default(words)


@needs_shared
def test_of_2b4t_it_makes_a_sixth_more_tokens():
    text = (DATA / "eval" / "wikitext2_test.txt").read_text(encoding="utf-8")[:200_000]
    inner = load_tokenizer(REAL).inner
    assert by_default(inner).library.to_str() != inner.library.to_str()
    more = len(by_default(inner).encode(text)) / len(inner.encode(text))
    assert more == pytest.approx(1.17, abs=0.03)
