"""A tokenizer.json for pieces with scores: the tokenizer of Llama 2, and of 1bitLLM.

SentencePiece's byte-pair encoding keeps no merges. It has pieces, each with a score:
again and again the two neighbours are joined that give the piece of the highest score.
A list of merges says the same: each way to make a piece of two others, the highest
score first.

Notes
-----
A space is written ▁ (U+2581), and one is put before the text, and behind each special
token. What no piece has is spelled in bytes, ``<0x0A>``.

Where one piece can be made of two others in two ways that overlap, such as ``aaa`` in
``aaaa``, SentencePiece takes the one on the left, and a list of merges the one that
stands first in it, as transformers' own translation has it, too.

References
----------
google/sentencepiece, src/bpe_model.cc; Hugging Face transformers,
``generate_merges`` in convert_slow_tokenizer.py.

Examples
--------
The piece of the higher score is made first, wherever it stands:

>>> find_merges({"a": -9, "b": -9, "c": -9, "ab": -2, "bc": -1, "abc": -3})
[['b', 'c'], ['a', 'b'], ['a', 'bc'], ['ab', 'c']]
"""

from collections.abc import Mapping, Sequence
from typing import Any

from minibitnet.text.tokenizerfile import FLAGS
from minibitnet.text.tokenizerpage import before_a_text

SPACE = "\u2581"


def find_merges(scores: Mapping[str, float]) -> list[list[str]]:
    """Every two pieces that make a third, those of the highest score first."""
    order = {piece: n for n, piece in enumerate(scores)}
    found = [
        (-score, order[piece[:cut]], order[piece[cut:]], piece[:cut], piece[cut:])
        for piece, score in scores.items()
        for cut in range(1, len(piece))
        if piece[:cut] in order and piece[cut:] in order
    ]
    return [[left, right] for *_, left, right in sorted(found)]


def pieces_page(
    tokens: Sequence[str],
    scores: Mapping[str, float],
    added: Sequence[tuple[int, str, bool]],
    bos: tuple[int, str] | None,
    unknown: str | None,
    space_first: bool,
) -> dict[str, Any]:
    """A tokenizer.json as the tokenizers library reads it.

    `tokens` are all by id, `scores` those of the pieces that text is made of; `added`
    and `bos` are as in `minibitnet.text.tokenizerpage`.
    """
    prepend = [{"type": "Prepend", "prepend": SPACE}] if space_first else []
    strip = [{"type": "Strip", "content": " ", "start": 1, "stop": 0}]
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": SPACE}
    back = {"type": "Replace", "pattern": {"String": SPACE}, "content": " "}
    decoders = [back, {"type": "ByteFallback"}, {"type": "Fuse"}]
    return {
        "version": "1.0",
        "added_tokens": [
            {"id": i, "content": content, **FLAGS, "special": special}
            for i, content, special in added
        ],
        "normalizer": {"type": "Sequence", "normalizers": [*prepend, replace]},
        "pre_tokenizer": None,
        "post_processor": None if bos is None else before_a_text(*bos),
        "decoder": {
            "type": "Sequence",
            "decoders": decoders + (strip if space_first else []),
        },
        "model": {
            "type": "BPE",
            "unk_token": unknown,
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": find_merges(scores),
        },
    }
