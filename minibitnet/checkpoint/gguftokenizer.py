"""The tokenizer in a GGUF file, as the two files that a directory has.

GGUF keeps a tokenizer as lists: the tokens by id, the kind of each, and the merges.
Written out as tokenizer.json and tokenizer_config.json they are read as any tokenizer
is.

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
import tempfile
import warnings
from pathlib import Path
from typing import Any

from minibitnet.files.gguf import GGUF
from minibitnet.files.jsonfile import CheckpointWarning, Keys
from minibitnet.text.tokenizerpage import tokenizer_page
from minibitnet.tokenizer import CHAT_TEMPLATE, Tokenizer, load_tokenizer

PLACEHOLDER = "BITNETAssistant"  # in the converter's template
LLAMA_3 = ("llama-bpe", "llama3", "llama-v3")  # names of Llama 3's pattern
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4  # kinds of tokens


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
    if "tokenizer.ggml.model" not in gguf.metadata:
        return None
    pages = tokenizer_pages(gguf)
    if PLACEHOLDER in str(gguf.metadata.get("tokenizer.chat_template")):
        note = "the chat template of 2B4T is used; the file's is a placeholder"
        warnings.warn(CheckpointWarning(f"{gguf.file}: {note}"), stacklevel=3)
    with tempfile.TemporaryDirectory() as folder:
        for name, page in pages.items():
            (Path(folder) / name).write_text(json.dumps(page), encoding="utf-8")
        return load_tokenizer(Path(folder))


def tokenizer_pages(gguf: GGUF) -> dict[str, dict[str, Any]]:
    """What tokenizer.json and tokenizer_config.json would hold."""
    keys = Keys(gguf.metadata, str(gguf.file))
    keys.one_of("tokenizer.ggml.model", ("gpt2",))
    keys.one_of("tokenizer.ggml.pre", LLAMA_3, LLAMA_3[0])
    tokens = list(keys.get("tokenizer.ggml.tokens"))
    kinds = [*map(int, keys.get("tokenizer.ggml.token_type", [NORMAL] * len(tokens)))]
    if len(kinds) != len(tokens):
        found = f"{len(kinds)} kinds"
        keys.fail("tokenizer.ggml.token_type", f"{len(tokens)} kinds", found)
    added = [i for i, kind in enumerate(kinds) if kind in (CONTROL, USER_DEFINED)]
    page = tokenizer_page(
        {tokens[i]: i for i in {*range(len(tokens))}.difference(added)},
        keys.get("tokenizer.ggml.merges"),
        [(i, tokens[i], kinds[i] == CONTROL) for i in added],
        find_bos(keys, tokens),
    )
    return {"tokenizer.json": page, "tokenizer_config.json": config_page(keys, tokens)}


def find_bos(keys: Keys, tokens: list[str]) -> tuple[int, str] | None:
    """The token that is put before a text, if the file asks for one."""
    ids = keys.ids("tokenizer.ggml.bos_token_id", len(tokens))
    if keys.flag("tokenizer.ggml.add_bos_token") is False or not ids:
        return None
    [i] = ids
    return i, tokens[i]


def config_page(keys: Keys, tokens: list[str]) -> dict[str, Any]:
    """tokenizer_config.json: the chat template, and what it may name."""
    template = keys.get("tokenizer.chat_template", None)
    if isinstance(template, str) and PLACEHOLDER in template:
        template = CHAT_TEMPLATE
    page: dict[str, Any] = {"chat_template": template} if template else {}
    for name in ("bos", "eos"):
        ids = keys.ids(f"tokenizer.ggml.{name}_token_id", len(tokens))
        page |= {f"{name}_token": tokens[i] for i in ids}
    return page
