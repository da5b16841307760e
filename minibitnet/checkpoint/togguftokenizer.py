"""The tokenizer of a directory as the metadata of a GGUF file.

It is `minibitnet.checkpoint.gguftokenizer` the other way round. There is one kind that
can go, that of Llama 3 and 2B4T: bytes, merges, and special tokens of which a file has
room to name three ends.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from minibitnet.bpe import BPE
from minibitnet.checkpoint.ggufkeys import ENDS
from minibitnet.checkpoint.gguftokenizer import (
    CONTROL,
    LLAMA_3,
    NORMAL,
    UNUSED,
    ids_key,
)
from minibitnet.files.jsonfile import CheckpointError
from minibitnet.text.chattemplate import read_if_there, read_names, read_template
from minibitnet.text.tokenizerfile import LETTERS, read_bpe


def tokenizer_metadata(directory: Path, V: int, ends: Sequence[int]) -> dict[str, Any]:
    """What a GGUF file says of the tokenizer of a directory, and of the ends of a text.

    Raises
    ------
    CheckpointError
        If it is not of the one kind that `tokenizer_pages` makes of a file, or names
        more than a file has room for.
    """
    if len(ends) > len(ENDS):
        found = f"{directory}: expected at most {len(ENDS)} ends, found {[*ends]}"
        raise CheckpointError(found)
    file = directory / "tokenizer.json"
    if not file.exists():
        return {ids_key(end): i for end, i in zip(ENDS, ends, strict=False)}
    try:
        inner = read_bpe(file)
    except CheckpointError as error:
        only = "a GGUF file is written with the tokenizer of Llama 3 alone"
        raise CheckpointError(f"{error} ({only})") from None
    if not inner.ignore_merges or len(inner.bos_ids) > 1:
        expected = "ignore_merges, and at most one token before a text"
        raise CheckpointError(f"{file}: expected {expected}, found another tokenizer")
    config = read_if_there(directory / "tokenizer_config.json")
    template, names = read_template(directory, config), read_names(directory, config)
    ids = named_ids(file, inner, template or "", names, ends)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": LLAMA_3[0],
        **token_lists(file, inner, V),
        "tokenizer.ggml.add_bos_token": bool(inner.bos_ids),
        **ids,
        **({"tokenizer.chat_template": template} if template else {}),
    }


def token_lists(file: Path, inner: BPE, V: int) -> dict[str, list[Any]]:
    """The tokens by id, the kind of each, and the merges by rank."""
    texts = {i: spell(token) for i, token in inner.spelled.items()}
    texts |= {i: text for text, i in inner.special.items()}
    if max(texts) >= V:
        found = f"{max(texts)} ({texts[max(texts)]!r})"
        raise CheckpointError(
            f"{file}: expected ids below vocab_size {V}, found {found}"
        )
    kinds = dict.fromkeys(texts, NORMAL) | dict.fromkeys(
        inner.special.values(), CONTROL
    )
    pairs = sorted(inner.ranks, key=inner.ranks.__getitem__)
    return {
        "tokenizer.ggml.tokens": [texts.get(i, f"[PAD{i}]") for i in range(V)],
        "tokenizer.ggml.token_type": [kinds.get(i, UNUSED) for i in range(V)],
        "tokenizer.ggml.merges": [f"{spell(a)} {spell(b)}" for a, b in pairs],
    }


def spell(token: bytes) -> str:
    """A token as files spell it, a letter for each byte."""
    return "".join(map(LETTERS.__getitem__, token))


def named_ids(
    file: Path, inner: BPE, template: str, names: Mapping[str, str], ends: Sequence[int]
) -> dict[str, int]:
    """The ids that have names: begin-of-text, and the ends.

    A template may write what it calls ``eos_token``; then that end comes first.
    """
    used = {name: inner.special.get(names[name]) for name in names if name in template}
    bos: list[int | None] = [*inner.bos_ids, used.get("bos_token")]
    first = used.get("eos_token", ends[0] if ends else None)
    sorted_ends = sorted(ends, key=lambda end: end != first)
    ids = {"bos_token_id": bos[0], **dict(zip(ENDS, sorted_ends, strict=False))}
    known = {"bos_token": bos[0], "eos_token": ids.get("eos_token_id")}
    for name, i in used.items():
        if known.get(name) != i:
            expected = "a chat template that names begin-of-text and an end alone"
            raise CheckpointError(f"{file}: expected {expected}, found {name}")
    return {ids_key(name): i for name, i in ids.items() if i is not None}
