"""Pieces with scores against what SentencePiece made of the same texts (recorded)."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minibitnet.text.piecespage import SPACE, find_merges, pieces_page

tokenizers = pytest.importorskip("tokenizers")
RECORDED = Path(__file__).parent.parent / "pieces.json"
PAGE = json.loads((RECORDED).read_text())
NORMAL = 1
SCORES = {
    token: score
    for token, score, kind in zip(
        PAGE["tokens"], PAGE["scores"], PAGE["kinds"], strict=True
    )
    if kind == NORMAL
}


def library(space_first=True):
    page = pieces_page(PAGE["tokens"], SCORES, [], None, "<unk>", space_first)
    return tokenizers.Tokenizer.from_str(json.dumps(page))


def join(text):
    """Again and again the two neighbours whose piece has the highest score."""
    parts = [*text.replace(" ", SPACE)]
    while True:
        found = [
            (-SCORES[a + b], i)
            for i, (a, b) in enumerate(zip(parts, parts[1:], strict=False))
            if a + b in SCORES
        ]
        if not found:
            return parts
        _, i = min(found)
        parts[i : i + 2] = ["".join(parts[i : i + 2])]


@pytest.mark.parametrize(("text", "ids", "back"), PAGE["texts"])
def test_ids_and_texts_are_those_of_sentencepiece(text, ids, back):
    tokenizer = library()
    assert tokenizer.encode(text).ids == ids
    assert tokenizer.decode(ids) == back


@given(st.text(alphabet=sorted({*"".join(SCORES)} - {SPACE}) + [" "], max_size=40))
def test_merges_join_what_scores_join(text):
    ids = library(space_first=False).encode(text).ids
    assert [PAGE["tokens"][i] for i in ids] == join(text)


def test_without_a_space_before_it_a_text_comes_back_as_it_was():
    tokenizer = library(space_first=False)
    assert tokenizer.decode(tokenizer.encode(" two words").ids) == " two words"
    assert len(find_merges({})) == 0
