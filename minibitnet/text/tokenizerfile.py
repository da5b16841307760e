"""tokenizer.json, as the tokenizers library writes it, read as byte-pair encoding.

The format can describe many tokenizers. Read here is one kind, that of Llama 3 and of
BitNet b1.58 2B4T; a file that asks for anything else is refused, since its ids would
come out wrong. Truncation and padding alone are passed over: minibitnet does neither.

Notes
-----
A token is spelled with one letter for each byte: the character of Latin-1 where it can
be seen, else the next from U+0100 on. So a space, the 33rd that cannot, is Ġ (U+0120),
and the two bytes of é are Ã and ©. A merge is "a b" or, in newer files, ["a", "b"]; its
rank is its position in the list. The library numbers special tokens itself: as in the
vocabulary if they are there, else by the next unused id. So the file must agree.

References
----------
Hugging Face tokenizers; ``bytes_to_unicode`` in encoder.py of openai/gpt-2.

Examples
--------
>>> "".join(LETTERS[byte] for byte in " né".encode())
'ĠnÃ©'
"""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from minibitnet.bpe import BPE, SPLIT
from minibitnet.files.jsonfile import Keys, read_json

SEEN = {*range(33, 127), *range(161, 173), *range(174, 256)}
UNSEEN = [byte for byte in range(256) if byte not in SEEN]
LETTERS = {byte: chr(byte) for byte in SEEN} | {
    byte: chr(0x100 + i) for i, byte in enumerate(UNSEEN)
}
BYTES = {letter: byte for byte, letter in LETTERS.items()}
BY_PATTERN = {
    "type": "Split",
    "pattern": {"Regex": SPLIT},
    "behavior": "Isolated",
    "invert": False,
}
TO_BYTES = {
    "type": "ByteLevel",
    "add_prefix_space": False,
    "trim_offsets": True,
    "use_regex": False,
}
PRE_TOKENIZER = {"type": "Sequence", "pretokenizers": [BY_PATTERN, TO_BYTES]}
# Of a special token; each would let it take more or less of the text.
FLAGS = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)


def refuse_others(keys: Keys, understood: Collection[str]) -> None:
    """Refuse whatever else is asked for."""
    for key, value in keys.content.items():
        if key not in understood and value not in (None, False, ""):
            keys.fail(key, "nothing", value)


def take_list(keys: Keys, key: str) -> list[Any]:
    """A list."""
    value = keys.get(key)
    if not isinstance(value, list):
        keys.fail(key, "a list", value)
    return value


def take_ids(model: Keys) -> dict[str, int]:
    """The id of each token of the vocabulary, as the file spells it."""
    ids = model.inside("vocab").content
    if {*map(type, ids.values())} != {int} or {*ids.values()} != {*range(len(ids))}:
        model.fail("vocab", "every id from 0 up once", [*ids.values()])
    missing, strange = BYTES.keys() - ids.keys(), {*"".join(ids)} - BYTES.keys()
    if missing or strange:
        found = f"{sorted(missing)} missing, {sorted(strange)} besides"
        model.fail("vocab", "the letters of all bytes and no others", found)
    return dict(ids)


def take_ranks(
    model: Keys, tokens: Mapping[str, bytes]
) -> dict[tuple[bytes, bytes], int]:
    """The rank of each merge."""
    ranks = {}
    for rank, pair in enumerate(take_list(model, "merges")):
        try:
            a, b = pair if isinstance(pair, list) else pair.split(" ")
            if a + b not in tokens:
                raise KeyError(a + b)
            ranks[tokens[a], tokens[b]] = rank
        except (AttributeError, KeyError, TypeError, ValueError):
            model.fail(f"merges[{rank}]", "two tokens that make a third", pair)
    return ranks


def take_special(keys: Keys, ids: Mapping[str, int]) -> dict[str, int]:
    """The id of each special token."""
    special: dict[str, int] = {}
    unused = len(ids)
    for i, token in enumerate(take_list(keys, "added_tokens")):
        match token:
            case {"content": str(content), **others} if (
                content
                and content.isascii()
                and content not in special
                and others == {"id": ids.get(content, unused), "special": True, **FLAGS}
            ):
                special[content] = ids.get(content, unused)
                unused += content not in ids
            case _:
                expected = f"a new special token, id {unused}, with no flag set"
                keys.fail(f"added_tokens[{i}]", expected, token)
    return special


def take_bos_ids(keys: Keys, special: Mapping[str, int]) -> list[int]:
    """What the post-processor puts before a text."""
    processor = keys.get("post_processor", None)
    match processor:
        case {"type": "Sequence", "processors": [{"type": "ByteLevel"}, second]}:
            processor = second  # the first leaves the ids alone
    match processor:
        case None | {"type": "ByteLevel"}:
            return []
        case {
            "type": "TemplateProcessing",
            "single": [*parts],
            "special_tokens": {**specials},
        }:
            ids = [id_of(part, special, specials) for part in parts]
            if ids.count([]) == 1 and None not in ids:
                return [i for part in ids[: ids.index([])] for i in part or ()]
    keys.fail("post_processor", "tokens around the text, or none", processor)


def id_of(
    part: object, special: Mapping[str, int], specials: Mapping[Any, object]
) -> list[int] | None:
    """The id of a special token around the text; none for the text; None for else."""
    match part:
        case {"Sequence": {"id": "A"}}:
            return []
        case {"SpecialToken": {"id": str(name)}} if name in special:
            ids = [special[name]]
            if specials.get(name) == {"id": name, "ids": ids, "tokens": [name]}:
                return ids
    return None


def read_bpe(path: Path) -> BPE:
    """The tokenizer that a tokenizer.json describes.

    Raises CheckpointError if the file is damaged, or asks for what is not done here.
    """
    keys = Keys(read_json(path), str(path))
    settings = ("added_tokens", "pre_tokenizer", "post_processor", "decoder", "model")
    refuse_others(keys, ("version", "truncation", "padding", *settings))
    keys.one_of("version", ["1.0"])
    keys.inside("decoder").one_of("type", ["ByteLevel"])
    if keys.get("pre_tokenizer") != PRE_TOKENIZER:
        expected = "the pattern of Llama 3, then bytes"
        keys.fail("pre_tokenizer", expected, keys.get("pre_tokenizer"))
    model = keys.inside("model")
    refuse_others(model, ("type", "vocab", "merges", "ignore_merges"))
    model.one_of("type", ["BPE"])
    ids = take_ids(model)
    special = take_special(keys, ids)
    tokens = {token: bytes(map(BYTES.__getitem__, token)) for token in ids}
    return BPE(
        vocabulary={tokens[token]: i for token, i in ids.items()},
        ranks=take_ranks(model, tokens),
        ignore_merges=bool(model.flag("ignore_merges")),
        special=special,
        spelled={i: tokens[token] for token, i in ids.items() if token not in special},
        bos_ids=take_bos_ids(keys, special),
    )
