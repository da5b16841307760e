"""The header of a safetensors file: read with care, and checked before it is believed.

The header says where each array begins and ends. A file comes from somebody else, and
with a wrong offset one would compute with the bytes of another array. So it must
describe the bytes behind it end to end, without gap or overlap, and each array must be
as long as its dtype and shape say.

Notes
-----
The safetensors library checks the same, and is asked first where it is installed. Here
a few things more are refused: a name that comes twice (one of the two arrays would be
passed over), what an entry says beside dtype, shape and offsets, an array without a
number in it, which no weights have, and a name that cannot be printed: a terminal would
obey it.

References
----------
https://github.com/huggingface/safetensors#format

Examples
--------
>>> entry = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}
>>> check_listing({"a": entry}, size=24)
>>> check_listing({"a": entry | {"dtype": "F16"}}, size=24)
Traceback (most recent call last):
    ...
ValueError: a: an array of [2, 3] at bytes 0 to 24
"""

import json
import math
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

LARGEST_HEADER = 2**24  # bytes: some hundred thousand arrays; 2B4T has 61,008
LONGEST_NAME = 200
ENTRY = {"dtype", "shape", "data_offsets"}  # what the header says of an array
LARGEST_RANK = 8  # NumPy has 32 axes at least
# The dtypes a checkpoint here may use, and what their arrays are in memory.
STORED: dict[str, type[np.generic]] = {
    "U8": np.uint8,
    "BF16": np.uint16,
    "F16": np.float16,
    "F32": np.float32,
}


class Spec(NamedTuple):
    """What kind of array a name stands for."""

    dtype: str  # as safetensors names it
    shape: tuple[int, ...]

    @property
    def nbytes(self) -> int:
        """How many bytes it takes."""
        return math.prod(self.shape) * np.dtype(STORED[self.dtype]).itemsize


def _check_with_library(file: Path) -> None:
    """Let the safetensors library, where it is installed, check the whole header."""
    try:
        from safetensors import SafetensorError, safe_open
    except ImportError:
        return
    try:
        with safe_open(file, framework="numpy"):
            pass
    except SafetensorError as error:
        raise ValueError(error) from None


def read_header(file: Path) -> tuple[int, Any]:
    """How many bytes the header takes, and the JSON in it; a ValueError if none is."""
    room = min(file.stat().st_size - 8, LARGEST_HEADER)
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if length > room:
            raise ValueError(f"a header of {length} bytes")
        _check_with_library(file)
        text = stream.read(length).decode()
    listing = json.loads(text, object_pairs_hook=_each_once, parse_int=_natural)
    json.dumps(listing, ensure_ascii=False).encode()  # no half of a surrogate pair
    return length, listing


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; of a name that comes twice, both would be somebody's."""
    listing = dict(pairs)
    if len(listing) != len(pairs):
        raise ValueError(f"a name that comes twice among {', '.join(listing):.60}")
    return listing


def _natural(text: str) -> int:
    """A whole number without a sign, as all in a header are."""
    if text.startswith("-"):
        raise ValueError(f"a number below zero, {text:.20}")
    return int(text)


def check_listing(listing: Any, size: int) -> None:
    """Refuse a header whose arrays are not the `size` bytes behind it, end to end."""
    if not isinstance(listing, dict):
        raise ValueError("a header that is no object")
    notes = listing.get("__metadata__")
    if notes is not None and not _are_texts(notes):
        raise ValueError("metadata that is not text")
    end = 0
    names = listing.keys() - {"__metadata__"}
    for begin, stop in sorted(_check_entry(name, listing[name]) for name in names):
        if begin != end:
            raise ValueError(f"a gap or an overlap at byte {min(begin, end)}")
        end = stop
    if end != size:
        raise ValueError(f"{size} bytes of arrays, not {end}")


def _check_entry(name: str, entry: Any) -> tuple[int, int]:
    """Where an array begins and ends, if its dtype and shape agree."""
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise ValueError(f"{name!r:.60}: a name of an array")
    if not isinstance(entry, dict) or entry.keys() != ENTRY:
        raise ValueError(f"{name}: an entry {entry!r:.60}")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not (isinstance(dtype, str) and _are_whole(shape) and _are_whole(offsets)):
        raise ValueError(f"{name}: an entry {entry!r:.60}")
    if len(offsets) != 2 or len(shape) > LARGEST_RANK or 0 in shape:
        raise ValueError(f"{name}: an array of {shape} at bytes {offsets}")
    begin, stop = offsets
    nbytes = Spec(dtype, shape).nbytes if dtype in STORED else stop - begin
    if stop < begin or stop - begin != nbytes:
        raise ValueError(f"{name}: an array of {shape} at bytes {begin} to {stop}")
    return begin, stop


def _are_texts(notes: Any) -> bool:
    """Whether a value is an object whose values are texts."""
    return isinstance(notes, dict) and all(isinstance(n, str) for n in notes.values())


def _are_whole(numbers: Any) -> bool:
    """Whether a value is a list of whole numbers; true and false are none."""
    return isinstance(numbers, list) and all(type(n) is int for n in numbers)
