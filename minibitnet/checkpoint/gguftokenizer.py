"""The tokenizer in a GGUF file, as the two files that a directory has.

GGUF keeps a tokenizer as lists: the tokens by id, the kind of each, and the merges or,
in models with the tokenizer of Llama 2, the scores.
Written out as tokenizer.json and tokenizer_config.json they are read as any tokenizer
is (scores by the tokenizers library alone).

Notes
-----
How a text is split before it is merged is named in ``tokenizer.ggml.pre``. The
published file of 2B4T lacks the entry; programs that go by a default then split
otherwise, 17 % more tokens and worse answers. Llama 3's pattern is what its
tokenizer.json says, so that is what a missing entry means here.

Its chat template, too, is not the model's, but a placeholder of the converter
("BITNETAssistant"), on which the model was never trained. 2B4T's is used in its place.

References
----------
microsoft/BitNet pull request 508 (the missing entry); ik_llama.cpp issue 339 (the
template); llama.cpp, gguf-py/gguf/constants.py.
"""

import json
import math
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from minibitnet.checkpoint.ggufkeys import plain
from minibitnet.files.gguf import GGUF
from minibitnet.files.jsonfile import CheckpointError, CheckpointWarning, Keys
from minibitnet.files.published import CHAT_TEMPLATE
from minibitnet.text.piecespage import pieces_page
from minibitnet.text.tokenizerpage import tokenizer_page
from minibitnet.tokenizer import Tokenizer, load_tokenizer

PLACEHOLDER = "BITNETAssistant"  # in the converter's template
NONE = "none"  # what a converter calls a model without a tokenizer
LLAMA_3 = ("llama-bpe", "llama3", "llama-v3")  # names of Llama 3's pattern
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 1, 2, 3, 4, 5  # kinds of tokens
LONGEST_PIECE = 128  # letters; SentencePiece itself makes none of more than 16
BESIDE = (CONTROL, USER_DEFINED, UNUSED)  # the vocabulary


def make_tokenizer(gguf: GGUF) -> Tokenizer | None:
    """The tokenizer of a GGUF file; None if it has none.

    Raises
    ------
    CheckpointError
        If it is of a kind that is not read here, or its lists do not go together.

    Warns
    -----
    CheckpointWarning
        If another chat template is used than the file has.
    """
    with tokenizer_directory(gguf) as directory:
        return load_tokenizer(directory)


@contextmanager
def tokenizer_directory(gguf: GGUF) -> Iterator[Path]:
    """A directory with the two files; empty if the file has no tokenizer."""
    if PLACEHOLDER in str(gguf.metadata.get("tokenizer.chat_template")):
        note = "the chat template of 2B4T is used; the file's is a placeholder"
        warnings.warn(CheckpointWarning(f"{gguf.file}: {note}"), stacklevel=4)
    has_one = plain(gguf.metadata.get("tokenizer.ggml.model", NONE)) != NONE
    pages = tokenizer_pages(gguf) if has_one else {}
    with tempfile.TemporaryDirectory() as folder:
        for name, page in pages.items():
            (Path(folder) / name).write_text(json.dumps(page), encoding="utf-8")
        try:
            yield Path(folder)
        except CheckpointError as error:  # the file is what the user knows
            said = str(error).replace(folder, str(gguf.file))
            raise CheckpointError(said) from None


def tokenizer_pages(gguf: GGUF) -> dict[str, dict[str, Any]]:
    """What tokenizer.json and tokenizer_config.json would hold."""
    metadata = {key: plain(value) for key, value in gguf.metadata.items()}
    keys = Keys(metadata, str(gguf.file))
    make = PAGES[keys.one_of("tokenizer.ggml.model", tuple(PAGES))]
    tokens, kinds = take_tokens(keys)
    page = make(keys, tokens, kinds)
    return {"tokenizer.json": page, "tokenizer_config.json": config_page(keys, tokens)}


def merges_page(keys: Keys, tokens: list[str], kinds: list[int]) -> dict[str, Any]:
    """The tokenizer.json of bytes and merges, as 2B4T has it."""
    keys.one_of("tokenizer.ggml.pre", LLAMA_3, LLAMA_3[0])
    return tokenizer_page(
        {tokens[i]: i for i, kind in enumerate(kinds) if kind not in BESIDE},
        take_texts(keys, "tokenizer.ggml.merges"),
        added_tokens(tokens, kinds, (CONTROL,)),
        find_bos(keys, tokens),
    )


def scores_page(keys: Keys, tokens: list[str], kinds: list[int]) -> dict[str, Any]:
    """The tokenizer.json of pieces and scores, as 1bitLLM's models have it."""
    keys.one_of("tokenizer.ggml.pre", ("default",), "default")
    scores = keys.get("tokenizer.ggml.scores")
    numbers = isinstance(scores, list) and all(map(is_finite, scores))
    if not numbers or len(scores) != len(tokens):
        keys.fail("tokenizer.ggml.scores", f"{len(tokens)} numbers", scores)
    if len(longest := max(tokens, key=len, default="")) > LONGEST_PIECE:
        expected = f"pieces of at most {LONGEST_PIECE} letters"
        keys.fail("tokenizer.ggml.tokens", expected, longest)
    unknown = take_id(keys, "unknown_token_id", tokens)
    return pieces_page(
        tokens,
        {
            token: score
            for token, score, kind in zip(tokens, scores, kinds, strict=True)
            if kind == NORMAL
        },
        added_tokens(tokens, kinds, (CONTROL, UNKNOWN)),
        find_bos(keys, tokens),
        None if unknown is None else tokens[unknown],
        keys.flag("tokenizer.ggml.add_space_prefix") is not False,
    )


def is_finite(value: object) -> bool:
    """Whether a value is a float, and a number."""
    return type(value) is float and math.isfinite(value)


PAGES = {"gpt2": merges_page, "llama": scores_page}  # by tokenizer.ggml.model


def added_tokens(
    tokens: list[str], kinds: list[int], special: tuple[int, ...]
) -> list[tuple[int, str, bool]]:
    """The tokens that are found in a text before it is split, and which are special."""
    return [
        (i, tokens[i], kind in special)
        for i, kind in enumerate(kinds)
        if kind in (*special, USER_DEFINED)
    ]


def take_tokens(keys: Keys) -> tuple[list[str], list[int]]:
    """The tokens by id, each another, and the kind of each."""
    tokens = take_texts(keys, "tokenizer.ggml.tokens")
    if len({*tokens}) != len(tokens):
        [(found, count)] = Counter(tokens).most_common(1)
        keys.fail("tokenizer.ggml.tokens", "each another", f"{found!r} {count} times")
    kinds = keys.get("tokenizer.ggml.token_type", [NORMAL] * len(tokens))
    whole = isinstance(kinds, list) and all(type(kind) is int for kind in kinds)
    if not whole or len(kinds) != len(tokens):
        keys.fail("tokenizer.ggml.token_type", f"{len(tokens)} kinds", kinds)
    return tokens, kinds


def take_texts(keys: Keys, key: str) -> list[str]:
    """A list of texts."""
    texts = keys.get(key)
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        keys.fail(key, "a list of texts", texts)
    return texts


def find_bos(keys: Keys, tokens: list[str]) -> tuple[int, str] | None:
    """The token that is put before a text, if the file asks for one."""
    i = take_id(keys, "bos_token_id", tokens)
    if keys.flag("tokenizer.ggml.add_bos_token") is False or i is None:
        return None
    return i, tokens[i]


def take_id(keys: Keys, name: str, tokens: list[str]) -> int | None:
    """The id of a token with a name; None if the file has none."""
    ids = keys.ids(ids_key(name), len(tokens))
    if len(ids) > 1:
        keys.fail(ids_key(name), "one id", ids)
    return ids[0] if ids else None


def config_page(keys: Keys, tokens: list[str]) -> dict[str, Any]:
    """tokenizer_config.json: the chat template, and what it may name."""
    template = keys.get("tokenizer.chat_template", None)
    if isinstance(template, str) and PLACEHOLDER in template:
        template = CHAT_TEMPLATE
    page: dict[str, Any] = {"chat_template": template} if template else {}
    for name in ("bos", "eos"):
        i = take_id(keys, f"{name}_token_id", tokens)
        page |= {f"{name}_token": tokens[i]} if i is not None else {}
    return page


def ids_key(name: str) -> str:
    """The key of metadata with the id of a token."""
    return f"tokenizer.ggml.{name}"
