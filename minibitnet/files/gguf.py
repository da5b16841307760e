"""A GGUF file: metadata, a list of tensors, then their bytes.

llama.cpp and its relatives keep a whole model in one file: its numbers, its tokenizer
and its arrays. Everything before the arrays is a stream without an index; so it is read
from the beginning, entry after entry, and nothing in it is believed before it is seen
to lie within the file. The arrays are mapped, as those of safetensors are.

Notes
-----
All numbers are little-endian; a string is its length (u64) and its bytes::

    "GGUF"   u32 version   u64 tensors   u64 entries
    entries  string key, u32 type, value; an array is u32 type, u64 count, values
    tensors  string name, u32 axes, u64 sizes, u32 type, u64 offset
    zeros    up to a multiple of general.alignment (32 if there is no such entry)
    arrays   each at its offset from here, a multiple of the alignment

The sizes of a tensor begin with the axis that is contiguous: a matrix (M, N) is stored
as N, M. Here shapes are NumPy's. A type has blocks of weights and bytes for each; but
I2_S, type 36, is ``M * N / 4 + 32`` bytes, and in other programs type 36 is nothing.

References
----------
https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; for I2_S, microsoft/BitNet,
utils/convert-hf-to-gguf-bitnet.py.

Examples
--------
>>> nbytes("TQ2_0", (640, 2560)), nbytes("I2_S", (640, 2560)), nbytes("F16", (3,))
(422400, 409632, 6)
"""

import math
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from minibitnet.files.jsonfile import CheckpointError, regular_file

Value = TypeVar("Value")
SUFFIX = ".gguf"
MAGIC = b"GGUF"
VERSIONS = (2, 3)  # alike but for files of big-endian machines
LARGEST = 2**25  # bytes before the arrays; tokenizers of 262,144 tokens have half of it
ALIGNMENT = 32  # where general.alignment does not say
STRING, ARRAY, BOOL = 8, 9, 7
# The types of metadata that are one number, as struct and NumPy name them.
NUMBERS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))
# The types of tensors: name, weights of a block, bytes of a block.
TYPES = {
    0: ("F32", 1, 4),
    1: ("F16", 1, 2),
    8: ("Q8_0", 32, 34),
    14: ("Q6_K", 256, 210),
    30: ("BF16", 1, 2),
    34: ("TQ1_0", 256, 54),
    35: ("TQ2_0", 256, 66),
    36: ("I2_S", 4, 1),  # and a tail
}
TAIL = 32  # bytes behind the blocks of an I2_S tensor
NUMBERS_OF = {name: (number, *sizes) for number, (name, *sizes) in TYPES.items()}
AXES = 4  # of a tensor, at most


class GGUFTensor(NamedTuple):
    """A tensor in a file."""

    file: Path
    name: str
    type: str
    shape: tuple[int, ...]
    data: NDArray[np.uint8]  # its bytes, mapped


class GGUF(NamedTuple):
    """What a file holds."""

    file: Path
    metadata: dict[str, Any]  # lists of numbers are arrays
    tensors: dict[str, GGUFTensor]


class Listed(NamedTuple):
    """What the list of tensors says of one."""

    type: str
    shape: tuple[int, ...]
    offset: int


def nbytes(type_: str, shape: tuple[int, ...]) -> int:
    """The bytes of a tensor; a ValueError if a row is no whole number of blocks."""
    _, weights, size = NUMBERS_OF[type_]
    if shape and shape[-1] % weights:
        raise ValueError(f"rows of a multiple of {weights} weights, found {shape[-1]}")
    return math.prod(shape) // weights * size + (TAIL if type_ == "I2_S" else 0)


class Stream:
    """The bytes before the arrays, taken in order; a ValueError where they end."""

    def __init__(self, data: NDArray[np.uint8]) -> None:
        self.data = data
        self.at = 0

    def take(self, count: int) -> NDArray[np.uint8]:
        """The next bytes."""
        if count > len(self.data) - self.at:
            raise ValueError(f"{count} bytes at byte {self.at}, where the file ends")
        if count > LARGEST - self.at:
            raise ValueError(f"more than {LARGEST} bytes before its arrays")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, letter: str) -> Any:
        """A number, its type as struct names it; a float32 as its shortest decimal.

        So 1e-5 is 1e-5 again, and not what is left of it in 32 bits.
        """
        raw = self.take(struct.calcsize(f"<{letter}")).tobytes()
        if letter == "?" and raw not in (b"\0", b"\1"):
            raise ValueError(f"a bool of {raw[0]} at byte {self.at - 1}")
        [value] = struct.unpack(f"<{letter}", raw)
        return float(str(np.float32(value))) if letter == "f" else value

    def string(self) -> str:
        """A string, in UTF-8."""
        return self.take(self.number("Q")).tobytes().decode()

    def value(self, kind: int) -> Any:
        """A value of metadata; a list of numbers as an array."""
        if kind == STRING:
            return self.string()
        if kind != ARRAY:
            return self.number(_letter(kind))
        kind, count = self.number("I"), self.number("Q")
        if kind == STRING:
            if 8 * count > min(LARGEST, len(self.data)):  # each has a length, at least
                raise ValueError(f"{count} strings at byte {self.at}")
            return [self.string() for _ in range(count)]
        dtype = np.dtype(f"<{_letter(kind)}" if kind != BOOL else "?")
        return self.take(count * dtype.itemsize).view(dtype).copy()


def read_gguf(file: Path) -> GGUF:
    """The metadata and the tensors of a GGUF file, these mapped.

    Raises
    ------
    CheckpointError
        If the file cannot be read, is damaged, or holds a type that is not known here.
    """
    regular_file(file)
    if not file.stat().st_size:
        raise CheckpointError(f"{file}: expected a GGUF file, found an empty one")
    data = np.asarray(np.memmap(file, np.uint8, mode="r"))
    try:
        return _read(file, Stream(data))
    except (ValueError, OverflowError) as error:
        raise CheckpointError(
            f"{file}: expected a whole GGUF file, found {error}"
        ) from None


def _read(file: Path, stream: Stream) -> GGUF:
    """All of a file; a ValueError says what is wrong."""
    if (magic := stream.take(4).tobytes()) != MAGIC:
        raise ValueError(f"{magic!r} at its beginning")
    if (version := stream.number("I")) not in VERSIONS:
        swapped = int.from_bytes(version.to_bytes(4, "big"), "little")
        what = f"one of a big-endian machine, version {swapped}"
        raise ValueError(what if swapped in VERSIONS else f"version {version}")
    tensors, entries = stream.number("Q"), stream.number("Q")
    metadata = _collect(entries, lambda: (stream.string(), _read_entry(stream)))
    listing = _collect(tensors, lambda: _read_listing(stream))
    alignment = metadata.get("general.alignment", ALIGNMENT)
    if type(alignment) is not int or alignment < 8 or alignment & (alignment - 1):
        raise ValueError(f"general.alignment {alignment!r}")
    stream.take(-stream.at % alignment if listing else 0)
    return GGUF(file, metadata, _map(file, listing, stream, alignment))


def _collect(count: int, read: Callable[[], tuple[str, Value]]) -> dict[str, Value]:
    """So many things by name; a ValueError if a name comes twice."""
    found: dict[str, Value] = {}
    for _ in range(count):
        name, value = read()
        if name in found:
            raise ValueError(f"{name!r} twice")
        found[name] = value
    return found


def _read_entry(stream: Stream) -> Any:
    """The value of an entry of metadata, by the type before it."""
    return stream.value(stream.number("I"))


def _read_listing(stream: Stream) -> tuple[str, Listed]:
    """Name, type, shape and offset of a tensor."""
    name, axes = stream.string(), stream.number("I")
    if axes > AXES:
        raise ValueError(f"{axes} axes of tensor {name!r}")
    shape = tuple(stream.number("Q") for _ in range(axes))[::-1]
    kind = stream.number("I")
    if kind not in TYPES:
        known = ", ".join(f"{number} {entry[0]}" for number, entry in TYPES.items())
        raise ValueError(f"type {kind} of tensor {name!r}, which is none of {known}")
    return name, Listed(TYPES[kind][0], shape, stream.number("Q"))


def _map(
    file: Path,
    listing: Mapping[str, Listed],
    stream: Stream,
    alignment: int,
) -> dict[str, GGUFTensor]:
    """Where the bytes of each tensor are: within the file, aligned, not shared."""
    data, end, tensors = stream.data[stream.at :], 0, {}
    for name, entry in sorted(listing.items(), key=lambda item: item[1].offset):
        type_, shape, offset = entry
        try:
            size = nbytes(type_, shape)
        except ValueError as error:
            raise ValueError(f"tensor {name!r}, expected {error}") from None
        if offset % alignment or offset < end or size > len(data) - offset:
            raise ValueError(
                f"{size} bytes of tensor {name!r} at offset {offset}, where {end} to "
                f"{len(data)} are left and {alignment} divides"
            )
        end = offset + size
        tensors[name] = GGUFTensor(file, name, type_, shape, data[offset:end])
    return {name: tensors[name] for name in listing}


def _letter(kind: int) -> str:
    """The number type of metadata, as struct names it."""
    if kind not in NUMBERS:
        raise ValueError(f"metadata of type {kind}")
    return NUMBERS[kind]
