"""A fingerprint in a file: written for people to look at, read with care.

It comes from somebody else, perhaps from another program. A file that is not wholly
understood is refused: what is not looked at would pass for right.

Examples
--------
>>> print(to_json({"ids": [1, 2], "greedy": []}), end="")
{
 "ids": [ 1, 2 ],
 "greedy": []
}
>>> is_rows(["fb8bbe2ad3ab5292"], 1), is_rows(["FB8BBE2AD3AB5292"], 1)
(True, False)
"""

import json
import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from minibitnet.config import Config
from minibitnet.files.jsonfile import LARGEST_COUNT, Keys, read_json
from minibitnet.golden.compare import position
from minibitnet.golden.fingerprints import (
    EXACT,
    FORMAT,
    MOST,
    NEW,
    TOP,
    VERSION,
    Entry,
)
from minibitnet.golden.hashes import DIGITS
from minibitnet.golden.names import CONTRACT

FILE = "fingerprint.json"  # beside a model
LARGEST = 2**24  # bytes of a file
LARGEST_FLOAT = float(np.finfo(np.float32).max)
LIST = re.compile(r"\[[^][{}]*\]")
HASH, ROW = re.compile(r"[0-9a-f]{64}"), re.compile(rf"[0-9a-f]{{{DIGITS}}}")
HEADS = {"format": FORMAT, "version": VERSION, "contract": CONTRACT}


def find_fingerprint(model: Path) -> Path | None:
    """The fingerprint in a model's directory, or beside its file, if there is one."""
    file = model / FILE if model.is_dir() else model.with_suffix(f".{FILE}")
    return file if file.exists() else None


def to_json(content: Entry) -> str:
    """A fingerprint as JSON, each list of numbers in a line."""
    text = json.dumps(content, indent=1, allow_nan=False)
    # Inside a string of JSON there is no line break: only white space goes.
    return LIST.sub(lambda found: re.sub(r"\n *", " ", found[0]), text) + "\n"


def read_fingerprint(path: Path) -> Entry:
    """The fingerprint in a file; a CheckpointError if it is not wholly understood."""
    content = read_json(path, LARGEST)
    keys = Keys(content, str(path))
    for key, right in HEADS.items():
        if type(content.get(key)) is not type(right) or content[key] != right:
            keys.fail(key, repr(right), content.get(key))
    for key in content.keys() - HEADS.keys() - FORMS.keys():
        keys.fail(key, "no such key", content[key])
    ids = content.get("ids")
    T = len(ids) if isinstance(ids, list) else 0
    for key, (expected, fits) in FORMS.items():
        if not fits(content.get(key), T):
            keys.fail(key, expected, content.get(key))
    return content


def is_whole(value: Any) -> bool:
    """Whether it is a whole number that a token or a size may be."""
    return type(value) is int and 0 <= value <= LARGEST_COUNT


def is_number(value: Any) -> bool:
    """Whether it is a number that float32 has."""
    return is_whole(value) or type(value) is float and abs(value) <= LARGEST_FLOAT


def is_list(value: Any, of: Callable[[Any], bool], least: int, most: int) -> bool:
    """Whether it is a list of so many such values."""
    return type(value) is list and least <= len(value) <= most and all(map(of, value))


def is_tokens(value: Any, least: int, most: int) -> bool:
    """Whether it is a list of so many token ids."""
    return is_list(value, is_whole, least, most)


def is_hash(value: Any) -> bool:
    """Whether it is a whole SHA-256."""
    return type(value) is str and bool(HASH.fullmatch(value))


def is_row(value: Any) -> bool:
    """Whether it is the first digits of the SHA-256 of a row."""
    return type(value) is str and bool(ROW.fullmatch(value))


def is_rows(value: Any, T: int) -> bool:
    """Whether it is the hash of each of T rows."""
    return is_list(value, is_row, T, T)


def is_config(value: Any, T: int) -> bool:
    """Whether it is all the numbers of a model and no more."""
    if type(value) is not dict or {*value} != {each.name for each in fields(Config)}:
        return False
    ends, act = value["eos_token_ids"], value["hidden_act"]
    words = ("eos_token_ids", "hidden_act")
    numbers = (number for key, number in value.items() if key not in words)
    right = type(act) is str and is_tokens(ends, 0, LARGEST_COUNT)
    return right and all(map(is_number, numbers))


def are_weights(value: Any, T: int) -> bool:
    """Whether it is what is said of each array."""
    return type(value) is dict and all(map(is_weight, value.values()))


def is_weight(entry: Any) -> bool:
    """Whether it is what is said of an array."""
    match entry:
        case {"codes": codes, "scale": scale} if len(entry) == 2:
            return is_hash(codes) and is_number(scale)
        case {"values": values} if len(entry) == 1:
            return is_hash(values)
    return False


def are_stages(value: Any, T: int) -> bool:
    """Whether it is what is said of each stage."""
    return type(value) is dict and all(
        position(name) is not None and is_stage(entry, name.endswith(EXACT), T)
        for name, entry in value.items()
    )


def is_stage(entry: Any, exact: bool, T: int) -> bool:
    """Whether it is what is said of a stage, of hashed rows or of floats."""
    match entry:
        case {"rows": rows} if len(entry) == 1 and exact:
            return is_rows(rows, T)
        case {"l2": l2, "absmax": absmax} if len(entry) == 2 and not exact:
            return is_list(l2, is_number, T, T) and is_list(absmax, is_number, T, T)
    return False


def is_logits(entry: Any) -> bool:
    """Whether it is what is said of the logits of a position."""
    match entry:
        case {"ids": [*ids], "values": values, "margin": margin} if len(entry) == 3:
            n = len(ids)
            told = is_tokens(ids, 1, TOP) and is_list(values, is_number, n, n)
            return told and is_number(margin)
    return False


FORMS: dict[str, tuple[str, Callable[[Any, int], bool]]] = {
    "config": ("all numbers of a model", is_config),
    "text": ("a text or null", lambda text, T: text is None or type(text) is str),
    "ids": (f"1 to {MOST} token ids", lambda ids, T: is_tokens(ids, 1, MOST)),
    "weights": ("codes and scale, or values, of each array", are_weights),
    "stages": ("rows, or l2 and absmax, of each stage and position", are_stages),
    "logits": (
        f"at most {TOP} tokens of each position",
        lambda logits, T: is_list(logits, is_logits, T, T),
    ),
    "greedy": (f"at most {NEW} token ids", lambda new, T: is_tokens(new, 0, NEW)),
}
