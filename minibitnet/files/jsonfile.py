"""A JSON file from outside: read with care, refused with a reason.

A checkpoint comes from somebody else. Every value of its JSON files is validated here,
once, so that the rest of the package meets only sound values and a user sees one line:
the file, the key, what was expected, what was found.

What stands under a file's name need not be a file: a pipe would be waited for and a
device read without end. So it is looked at before it is opened, and its size too, for a
page of JSON can take twenty times its size in memory.

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
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn

LARGEST_FILE = 2**26  # bytes; the largest there are, of tokenizers, have half of it
LONGEST = 400  # characters of a message
LARGEST_COUNT = 2**31 - 1
REQUIRED: Any = object()
# How a file begins that Git LFS has left in place of a large one.
POINTER = b"version https://git-lfs"


def printable(text: str) -> str:
    """A text as one line of at most 400 characters, whatever is in it.

    Control characters, line breaks and all else without a shape are escaped: a terminal
    obeys them, and the names in a checkpoint come from somebody else.
    """
    return cut(
        "".join(
            letter if letter.isprintable() else letter.encode("unicode_escape").decode()
            for letter in cut(text)
        )
    )


def cut(text: str) -> str:
    """A text of at most 400 characters: what is too long lacks its middle."""
    return text if len(text) <= LONGEST else f"{text[:295]} ... {text[-100:]}"


class CheckpointError(ValueError):
    """A checkpoint that cannot be used: which file, what was expected, what found."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class CheckpointWarning(UserWarning):
    """What was assumed of a checkpoint that does not say, or contradicts itself."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


def regular_file(path: Path) -> None:
    """See that a path is a file and can be read; a CheckpointError otherwise."""
    begin = None
    try:
        if stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
            with path.open("rb") as stream:
                begin = stream.read(len(POINTER))
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None
    if begin is None:
        raise CheckpointError(f"{path}: expected a file, found something else")
    if begin == POINTER:
        raise CheckpointError(
            f"{path}: expected the file itself, found a Git LFS pointer to it "
            "(`git lfs pull` fetches it)"
        )


def read_text(path: Path, largest: int = LARGEST_FILE) -> str:
    """The text of a file, in UTF-8, or in UTF-16 or UTF-32 if it looks so.

    Raises a CheckpointError if there is no such file, or it is too large or no text.
    """
    regular_file(path)
    with path.open("rb") as stream:
        # no more than there is: `read` takes memory for all that it is asked for
        content = stream.read(min(path.stat().st_size, largest) + 1)
    if len(content) > largest:
        raise CheckpointError(f"{path}: expected at most {largest} bytes, found more")
    try:
        return content.decode(json.detect_encoding(content))
    except UnicodeDecodeError as error:
        raise CheckpointError(f"{path}: expected text, found {error}") from None


def read_json(path: Path, largest: int = LARGEST_FILE) -> dict[str, Any]:
    """The object in a JSON file; a CheckpointError if that is not what it holds."""
    text = read_text(path, largest)
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

    def number(
        self, key: str, least: float, most: float, default: Any = REQUIRED
    ) -> float:
        """A number from `least` to `most`."""
        value = self.get(key, default)
        if type(value) not in (int, float) or not least <= value <= most:
            self.fail(key, f"a number from {least:g} to {most:g}", value)
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
