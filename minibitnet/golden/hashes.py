"""Hashes: arrays of any size in a few letters, the same on every machine.

An array is hashed as the bytes of its numbers in C order, the lowest byte of each
first, whatever the machine that has them. The hash of each row tells which one differs.

Examples
--------
>>> little_endian(np.array([1, 258], np.int32)).tobytes().hex(" ", 4)
'01000000 02010000'
>>> hash_rows(np.array([[1, 258]], np.int32))
['fb8bbe2ad3ab5292']
"""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

DIGITS = 16  # of the hash of a row: 64 bits


def sha256(raw: bytes) -> str:
    """The hash of bytes, as text."""
    return hashlib.sha256(raw).hexdigest()


def little_endian(array: NDArray[Any]) -> NDArray[Any]:
    """The same numbers as files have them: in C order, the lowest byte first.

    array (...) -> same (...)
    """
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<"))


def hash_rows(array: NDArray[Any]) -> list[str]:
    """The first digits of the hash of each row.

    array (...)
    """
    return [sha256(row.tobytes())[:DIGITS] for row in little_endian(array)]
