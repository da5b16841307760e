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

from minibitnet.files.gguf import GGUF, read_gguf
from minibitnet.files.jsonfile import CheckpointWarning, Keys
from minibitnet.text.tokenizerfile import FLAGS, PRE_TOKENIZER
from minibitnet.tokenizer import CHAT_TEMPLATE, Tokenizer, load_tokenizer

PLACEHOLDER = "BITNETAssistant"  # in the converter's template
LLAMA_3 = ("llama-bpe", "llama3", "llama-v3")  # names of Llama 3's pattern
NORMAL, CONTROL, USER_DEFINED = 1, 3, 4  # kinds of tokens


def read_tokenizer(file: Path) -> Tokenizer | None:
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
    gguf = read_gguf(file)
    if "tokenizer.ggml.model" not in gguf.metadata:
        return None
    pages = tokenizer_pages(file, gguf)
    if PLACEHOLDER in str(gguf.metadata.get("tokenizer.chat_template")):
        note = f"{file}: the chat template of 2B4T is used; the file's is a placeholder"
        warnings.warn(CheckpointWarning(note), stacklevel=3)
    with tempfile.TemporaryDirectory() as folder:
        for name, page in pages.items():
            (Path(folder) / name).write_text(json.dumps(page), encoding="utf-8")
        return load_tokenizer(Path(folder))


def tokenizer_pages(file: Path, gguf: GGUF) -> dict[str, dict[str, Any]]:
    """What tokenizer.json and tokenizer_config.json would hold."""
    keys = Keys(gguf.metadata, str(file))
    keys.one_of("tokenizer.ggml.model", ("gpt2",))
    keys.one_of("tokenizer.ggml.pre", LLAMA_3, LLAMA_3[0])
    tokens = list(keys.get("tokenizer.ggml.tokens"))
    kinds = [*map(int, keys.get("tokenizer.ggml.token_type", [NORMAL] * len(tokens)))]
    if len(kinds) != len(tokens):
        found = f"{len(kinds)} kinds"
        keys.fail("tokenizer.ggml.token_type", f"{len(tokens)} kinds", found)
    added = [i for i, kind in enumerate(kinds) if kind in (CONTROL, USER_DEFINED)]
    model = {
        "type": "BPE",
        "vocab": {tokens[i]: i for i in {*range(len(tokens))}.difference(added)},
        "merges": list(keys.get("tokenizer.ggml.merges")),
        "ignore_merges": True,
    }
    page = {
        "version": "1.0",
        "added_tokens": [
            {"id": i, "content": tokens[i], "special": kinds[i] == CONTROL, **FLAGS}
            for i in added
        ],
        "pre_tokenizer": PRE_TOKENIZER,
        "post_processor": before_a_text(keys, tokens),
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": model,
    }
    return {"tokenizer.json": page, "tokenizer_config.json": config_page(keys, tokens)}


def before_a_text(keys: Keys, tokens: list[str]) -> dict[str, Any] | None:
    """A post-processor that puts begin-of-text before a text, if the file asks so."""
    if keys.flag("tokenizer.ggml.add_bos_token") is False:
        return None
    [i] = keys.ids("tokenizer.ggml.bos_token_id", len(tokens)) or [None]
    if i is None:
        return None
    name = tokens[i]
    return {
        "type": "TemplateProcessing",
        "single": [
            {"SpecialToken": {"id": name, "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}},
        ],
        "pair": [],
        "special_tokens": {name: {"id": name, "ids": [i], "tokens": [name]}},
    }


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
