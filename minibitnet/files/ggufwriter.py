"""Writing a GGUF file: what `minibitnet.files.gguf` reads.

Examples
--------
>>> encode("a.b", 7).hex(" ", -4)  # the key's length, the key, type 4 (u32), the value
'03000000 00000000 612e6204 00000007 000000'
"""

import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minibitnet.files.gguf import (
    ALIGNMENT,
    ARRAY,
    BOOL,
    MAGIC,
    NUMBERS_OF,
    STRING,
    nbytes,
)
from minibitnet.files.tensorfile import write_pieces

# The type of a value by that of Python's: number, and as struct and NumPy name it.
KINDS = {bool: (BOOL, "?"), int: (4, "I"), float: (6, "f")}
KINDS_IN_LISTS = KINDS | {int: (5, "i")}


class Spec(NamedTuple):
    """What the list of tensors says of one."""

    type: str
    shape: tuple[int, ...]


def encode(key: str, value: Any) -> bytes:
    """An entry of metadata, its type by Python's: string, bool, u32, f32, or a list."""
    kind, data = _encode_value(value)
    return _string(key) + struct.pack("<I", kind) + data


def _encode_value(value: Any) -> tuple[int, bytes]:
    """The type and the bytes of a value; whole numbers of a list are i32."""
    if isinstance(value, str):
        return STRING, _string(value)
    if not isinstance(value, list):
        kind, letter = KINDS[type(value)]
        return kind, struct.pack(f"<{letter}", value)
    if value and isinstance(value[0], str):
        kind, data = STRING, b"".join(map(_string, value))
    else:
        kind, letter = KINDS_IN_LISTS[type(value[0]) if value else int]
        data = np.array(value, f"<{letter}").tobytes()
    return ARRAY, struct.pack("<IQ", kind, len(value)) + data


def _string(text: str) -> bytes:
    """A string as a file has it."""
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def header(metadata: Mapping[str, Any], specs: Mapping[str, Spec]) -> bytes:
    """All of a file that stands before its arrays."""
    parts = [MAGIC, struct.pack("<IQQ", 3, len(specs), len(metadata))]
    parts += [encode(key, value) for key, value in metadata.items()]
    offset = 0
    for name, (type_, shape) in specs.items():
        sizes = struct.pack(f"<I{len(shape)}Q", len(shape), *shape[::-1])
        parts += [_string(name), sizes]
        parts += [struct.pack("<IQ", NUMBERS_OF[type_][0], offset)]
        offset += nbytes(type_, shape) + -nbytes(type_, shape) % ALIGNMENT
    whole = b"".join(parts)
    return whole + bytes(-len(whole) % ALIGNMENT)


def write_gguf(
    stream: BinaryIO,
    metadata: Mapping[str, Any],
    specs: Mapping[str, Spec],
    make: Callable[[str], Iterable[NDArray[Any]]],
) -> None:
    """Write a GGUF file into a stream, one tensor after another.

    Raises
    ------
    ValueError
        If the pieces of a tensor are not as many bytes as its type and shape say.
    """
    stream.write(header(metadata, specs))
    for name, (type_, shape) in specs.items():
        size = nbytes(type_, shape)
        write_pieces(stream, name, make(name), size)
        stream.write(bytes(-size % ALIGNMENT))
