"""Tables of partial sums: the ternary product by looking up and adding.

Seven weights, each -1, 0 or +1, can be 3**7 = 2187 different things. So of seven
activations there are 2187 different sums and differences, and a row of weights only
says which of them it wants. The sums are computed once, into a table; after that every
row needs one look-up and one addition for seven weights. No multiplication, and for
2B4T less than half of the additions, those that make the tables included.

Seven codes are written as one number in base 3, the first as the highest digit::

    code 0 .. 2186 = sum of (w[i] + 1) * 3**(6 - i)

Notes
-----
Fast in NumPy means few calls, each of them long. So 27 tables are laid end to end, a
chunk, and which of them is meant is written into the stored index as three more digits,
``2187 * table + code``: ten digits in base 3, just few enough for 16 bits (59,049 are
below 65,536). One `take` then serves 27 groups of all rows. Within a chunk the sums are
at most ``27 * 7 * 128 = 24,192``, which an int16 holds; across chunks they are added as
int32.

A table is itself made by adding: of the nine sums of the first two activations, each
to each of the 243 of the other five.

References
----------
Wei et al., T-MAC, 2024, arXiv 2407.00088, section 3; Wang et al., Bitnet.cpp, 2025,
arXiv 2502.11880, section 3 (the TL kernels, which take two or three weights an index).

Examples
--------
Seven weights, all -1 but the last, which is +1: in base 3, 0000002.

>>> from minibitnet.packing import pack
>>> indices = lay_out([pack(np.array([[-1] * 6 + [1]] * 4, np.int8))], [4])
>>> indices.shape, int(indices[0, 0, 0])
((1, 27, 4), 2)
>>> x_codes = np.array([[1, 2, 3, 4, 5, 6, 100]], np.int8)
>>> lookup_matmul(x_codes, indices)
array([[79, 79, 79, 79]], dtype=int32)
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from minibitnet.kernels.threads import split
from minibitnet.packing import SHIFTS

GROUP = 7  # weights of an index
TABLE = 3**GROUP  # its sums
CHUNK = 3**10 // TABLE  # tables whose entries ten digits can number: 27
WORTH = 2**17  # look-ups that are worth a thread
HIGH = 2  # the first activations of a group; a table is their sums to those of the rest


def ways(n: int) -> NDArray[np.float32]:
    """All that n weights can be, in the order of their base-3 numbers.

    Parameters
    ----------
    n : int
        How many weights.

    Returns
    -------
    weights : ndarray of shape (n, 3**n), float32
        Each column is one way to be.
    """
    digits = np.arange(3**n) // 3 ** np.arange(n - 1, -1, -1)[:, None] % 3
    return (digits - 1).astype(np.float32)


WAYS_HIGH, WAYS_LOW = ways(HIGH), ways(GROUP - HIGH)
# A byte's four stored codes, far enough apart that base-3 numbers grow side by side
EVERY_BYTE = np.arange(256, dtype=np.uint64)
LANES: NDArray[np.uint64] = np.bitwise_or.reduce(
    [((EVERY_BYTE >> shift) & 3) << (16 * band) for band, shift in enumerate(SHIFTS)]
)


def lay_out(
    packed: Sequence[NDArray[np.uint8]], rows: Sequence[int]
) -> NDArray[np.uint16]:
    """Packed matrices that read the same input, as indices into tables.

    Parameters
    ----------
    packed : list of ndarray of shape (R, N), uint8
        Four bands of rows each, see `minibitnet.packing`.
    rows : list of int
        M of each.

    Returns
    -------
    indices : ndarray of shape (C, 27, M), uint16
        C chunks; M is the rows of all matrices together. Missing columns have the
        weight 0.
    """
    chunks = -(-packed[0].shape[1] // (CHUNK * GROUP))
    indices = np.empty((chunks * CHUNK, sum(rows)), np.uint16)
    end = 0
    for bytes_, M in zip(packed, rows, strict=True):
        start, end = end, end + M
        indices[:, start:end] = _base_3(bytes_, chunks * CHUNK)[:, :M]
    tables = np.arange(CHUNK, dtype=np.uint16)[:, None] * np.uint16(TABLE)
    return indices.reshape(chunks, CHUNK, sum(rows)) + tables


def _base_3(packed: NDArray[np.uint8], groups: int) -> NDArray[np.uint16]:
    """The base-3 numbers of each row of one matrix, (groups, 4 * R)."""
    R, N = packed.shape
    padded = np.full((R, groups * GROUP), 0b01010101, np.uint8)  # four zeros
    padded[:, :N] = packed
    numbers = np.zeros((R, groups), np.uint64)
    for i in range(GROUP):
        numbers *= 3
        numbers += LANES[padded[:, i::GROUP]]
    lanes = numbers.astype("<u8").view("<u2").reshape(R, groups, len(SHIFTS))
    return lanes.transpose(1, 2, 0).reshape(groups, len(SHIFTS) * R)


def lookup_matmul(
    x_codes: NDArray[np.int8], indices: NDArray[np.uint16]
) -> NDArray[np.int32]:
    """The ternary product of `minibitnet.matmul`, by tables.

    Parameters
    ----------
    x_codes : ndarray of shape (T, N), int8
        Activation codes.
    indices : ndarray of shape (C, 27, M), uint16
        From `lay_out`.

    Returns
    -------
    acc : ndarray of shape (T, M), int32
        Exact.
    """
    sums = [_one_token(x, indices) for x in x_codes]
    return np.array(sums, np.int32).reshape(len(x_codes), indices.shape[2])


def _one_token(x: NDArray[np.int8], indices: NDArray[np.uint16]) -> NDArray[np.int32]:
    """The sums of all rows for one token, (M,)."""
    groups = np.zeros((len(indices), CHUNK, GROUP), np.float32)
    groups.reshape(-1)[: len(x)] = x
    # At most 5 * 128: exact as float32, and small enough for int16
    high = (groups[..., :HIGH] @ WAYS_HIGH).astype(np.int16)  # (C, 27, 9)
    low = (groups[..., HIGH:] @ WAYS_LOW).astype(np.int16)  # (C, 27, 243)

    def work(first: int, last: int) -> NDArray[np.int32]:
        part = slice(first, last)
        return _look_up(high[part], low[part], indices[part])

    return np.add.reduce(split(work, len(indices), WORTH // indices[0].size))


def _look_up(
    high: NDArray[np.int16], low: NDArray[np.int16], indices: NDArray[np.uint16]
) -> NDArray[np.int32]:
    """The sums of some chunks, (M,)."""
    acc = np.zeros(indices.shape[2], np.int32)
    tables = np.empty((CHUNK, high.shape[2], low.shape[2]), np.int16)
    picked = np.empty(indices.shape[1:], np.int16)
    for first, rest, chunk in zip(high, low, indices, strict=True):
        np.add(first[:, :, None], rest[:, None, :], out=tables)
        # No index is out of range; "wrap" spares NumPy a copy that "raise" makes.
        tables.reshape(-1).take(chunk, out=picked, mode="wrap")
        acc += np.add.reduce(picked, axis=0, dtype=np.int16)
    return acc
