r"""llama.cpp's default split: what a GGUF file gets that does not name its own.

How a text is cut into pieces before its bytes are merged is not in the tokens of a GGUF
file but in one word, ``tokenizer.ggml.pre``. The published file of 2B4T lacks it.
llama.cpp then cuts by patterns of its own, and the same vocabulary gives other tokens:
more of them, in orders that the model has not seen in training. So a perplexity of that
file is another number than that of the model.

Notes
-----
Four patterns, each applied to the pieces that those before it left. What a pattern
finds is a piece, and so is what lies between. The first cuts out signs, so that the
second, which knows contractions, finds none. A word that is a token as a whole is
merged like any other; in tokenizer.json of 2B4T, where `ignore_merges` is true, it is
not.

References
----------
llama.cpp, src/llama-vocab.cpp, ``llm_tokenizer_bpe``: the default; microsoft/BitNet
pull request 508.

Examples
--------
Llama 3's pattern keeps the end of a contraction together, and this one does not:

>>> from minibitnet.bpe import split
>>> split("I don't, 12345")
['I', ' don', "'t", ',', ' ', '123', '45']
>>> from tokenizers import Tokenizer, decoders, models
>>> inner = Tokenizer(models.BPE())
>>> inner.decoder = decoders.ByteLevel()
>>> cut = by_default(Library(inner)).library.pre_tokenizer.pre_tokenize_str
>>> [piece for piece, _ in cut("I don't, 12345")]
['I', 'Ġdon', "'", 't', ',', 'Ġ', '123', '45']
"""

import json

from minibitnet.text.library import Library, ask
from minibitnet.text.tokenizerfile import TO_BYTES

PATTERNS = (
    r"[\p{P}\$\+<=>\^~\|]+",
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)",
    r"\p{N}+",
    r"[0-9][0-9][0-9]",
)


def by_default(inner: object) -> Library:
    """A byte-level tokenizer with llama.cpp's default split in place of its own.

    Raises
    ------
    ValueError
        If it is of another kind, or the tokenizers library is not installed.
    """
    if not isinstance(inner, Library):
        raise ValueError("the default split needs the tokenizers library: install it")
    page = json.loads(inner.library.to_str())
    kinds = page["model"]["type"], (page["decoder"] or {}).get("type")
    if kinds != ("BPE", "ByteLevel"):
        raise ValueError(
            "the default split is one of byte-level BPE, and this tokenizer has "
            f"{kinds[0]} and the decoder {kinds[1]}"
        )
    page["model"]["ignore_merges"] = False
    page["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [*map(_isolate, PATTERNS), TO_BYTES],
    }
    return Library(ask(type(inner.library).from_str, json.dumps(page)))


def _isolate(pattern: str) -> dict[str, object]:
    """What tokenizer.json says for: each find is a piece, and what lies between."""
    return {
        "type": "Split",
        "pattern": {"Regex": pattern},
        "behavior": "Isolated",
        "invert": False,
    }
