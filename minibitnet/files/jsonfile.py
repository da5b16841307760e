"""A JSON file from outside: read with care, refused with a reason.

A checkpoint comes from somebody else. Every value of its JSON files is validated here,
once, so that the rest of the package meets only sound values and a user sees one line:
the file, the key, what was expected, what was found.

Examples
--------
>>> keys = Keys({"hidden_size": 2560.5}, "config.json")
>>> keys.count("vocab_size", default=128)
128
>>> keys.count("hidden_size")
Traceback (most recent call last):
    ...
minibitnet.files.jsonfile.CheckpointError: config.json: hidden_size: expected
a whole number from 1 to 2147483647, found 2560.5
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

LARGEST_FILE = 2**26  # bytes; a shard index of a large model has about a million
LARGEST_COUNT = 2**31 - 1
LARGEST_NUMBER = 1e300
REQUIRED: Any = object()


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: which file, what was expected, what found."""


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; a CheckpointError if that is not what it holds."""
    if path.exists() and not path.is_file():  # reading a pipe would block
        raise CheckpointError(f"{path}: expected a file, found something else")
    try:
        size = path.stat().st_size
        text = path.read_bytes() if size <= LARGEST_FILE else b""
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None
    if size > LARGEST_FILE:
        raise CheckpointError(
            f"{path}: expected at most {LARGEST_FILE} bytes, found {size}"
        )
    try:
        content = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: expected JSON, found {error}") from None
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path}: expected a JSON object, found {type(content).__name__}"
        )
    return content


class Keys:
    """The keys of a JSON object, each checked as it is taken."""

    def __init__(self, content: Mapping[str, Any], where: str) -> None:
        self.content = content
        self.where = where

    def fail(self, key: str, expected: str, found: object) -> NoReturn:
        """Refuse the value of a key."""
        what = "nothing" if found is REQUIRED else repr(found)[:80]
        raise CheckpointError(f"{self.where}: {key}: expected {expected}, found {what}")

    def get(self, key: str, default: Any = REQUIRED) -> Any:
        """The value; the default where the key is missing or null."""
        value = self.content.get(key)
        return default if value is None else value

    def count(self, key: str, default: Any = REQUIRED) -> int:
        """A whole number from 1 up."""
        value = self.get(key, default)
        if type(value) is not int or not 1 <= value <= LARGEST_COUNT:
            self.fail(key, f"a whole number from 1 to {LARGEST_COUNT}", value)
        return value

    def positive(self, key: str, default: Any = REQUIRED) -> float:
        """A number above 0, not infinite."""
        value = self.get(key, default)
        if type(value) not in (int, float) or not 0 < value < LARGEST_NUMBER:
            self.fail(key, "a number above 0", value)
        return float(value)

    def flag(self, key: str) -> bool | None:
        """Whether a key is true; None where it is missing."""
        value = self.get(key, None)
        if value is not None and type(value) is not bool:
            self.fail(key, "true or false", value)
        return value

    def one_of(self, key: str, allowed: Sequence[str], default: Any = REQUIRED) -> str:
        """One of a few words."""
        value = self.get(key, default)
        if value not in allowed:
            self.fail(key, " or ".join(allowed), value)
        return str(value)

    def inside(self, key: str) -> "Keys":
        """The keys of an object in the object; none where it is missing."""
        value = self.get(key, {})
        if not isinstance(value, dict):
            self.fail(key, "a JSON object", value)
        return Keys(value, f"{self.where}: {key}")

    def ids(self, key: str, below: int) -> tuple[int, ...]:
        """A token id or a list of them; none where the key is missing."""
        value = self.get(key, [])
        ids = value if isinstance(value, list) else [value]
        for token in ids:
            if type(token) is not int or not 0 <= token < below:
                self.fail(key, f"token ids from 0 to {below - 1}", value)
        return tuple(ids)
