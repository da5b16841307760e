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

from minibitnet.arrays import F32, I8, I32, U8
from minibitnet.kernels.memory import let_go
from minibitnet.kernels.threads import split
from minibitnet.matmul import Multiply
from minibitnet.packing import SHIFTS

Indices = NDArray[np.uint16]
Sums = NDArray[np.int16]

GROUP = 7  # weights of an index
TABLE = 3**GROUP  # its sums
CHUNK = 3**10 // TABLE  # tables whose entries ten digits can number: 27
WORTH = 2**17  # look-ups that are worth a thread
HIGH = 2  # the first activations of a group; a table is their sums to those of the rest


def ways(n: int) -> F32:
    """All that n weights can be, in the order of their base-3 numbers.

    n -> weights (n, 3**n); each column is one way to be.
    """
    digits = np.arange(3**n) // 3 ** np.arange(n - 1, -1, -1)[:, None] % 3
    return (digits - 1).astype(np.float32)


WAYS_HIGH, WAYS_LOW = ways(HIGH), ways(GROUP - HIGH)
# A byte's four stored codes, far enough apart that base-3 numbers grow side by side
EVERY_BYTE = np.arange(256, dtype=np.uint64)
LANES: NDArray[np.uint64] = np.bitwise_or.reduce(
    [((EVERY_BYTE >> shift) & 3) << (16 * band) for band, shift in enumerate(SHIFTS)]
)


def prepare(packed: Sequence[U8], rows: Sequence[int]) -> Multiply:
    """A function that multiplies by these matrices, joined and laid out anew."""
    indices = lay_out(packed, rows)
    for p in packed:
        let_go(p)
    ends = np.cumsum(rows)[:-1]
    return lambda x: np.split(lookup_matmul(x, indices), ends, axis=1)


def lay_out(packed: Sequence[U8], rows: Sequence[int]) -> Indices:
    """Packed matrices that read the same input, as indices into tables.

    packed [(R, N)] -> indices (C, 27, M): C chunks, the M rows of all matrices together

    Missing columns have the weight 0.
    """
    chunks = -(-packed[0].shape[1] // (CHUNK * GROUP))
    indices = np.empty((chunks * CHUNK, sum(rows)), np.uint16)
    end = 0
    for bytes_, M in zip(packed, rows, strict=True):
        start, end = end, end + M
        indices[:, start:end] = _base_3(bytes_, chunks * CHUNK)[:, :M]
    tables = np.arange(CHUNK, dtype=np.uint16)[:, None] * np.uint16(TABLE)
    return indices.reshape(chunks, CHUNK, sum(rows)) + tables


def _base_3(packed: U8, groups: int) -> Indices:
    """The base-3 numbers of each row of one matrix.

    packed (R, N) -> numbers (groups, 4 * R)
    """
    R, N = packed.shape
    padded = np.full((R, groups * GROUP), 0b01010101, np.uint8)  # four zeros
    padded[:, :N] = packed
    numbers = np.zeros((R, groups), np.uint64)
    for i in range(GROUP):
        numbers *= 3
        numbers += LANES[padded[:, i::GROUP]]
    lanes = numbers.astype("<u8").view("<u2").reshape(R, groups, len(SHIFTS))
    return lanes.transpose(1, 2, 0).reshape(groups, len(SHIFTS) * R)


def lookup_matmul(x_codes: I8, indices: Indices) -> I32:
    """The product with all rows that were laid out.

    x_codes (T, N), indices (C, 27, M) -> acc (T, M)
    """
    sums = [_one_token(x, indices) for x in x_codes]
    return np.array(sums, np.int32).reshape(len(x_codes), indices.shape[2])


def _one_token(x: I8, indices: Indices) -> I32:
    """The sums of all rows for one token: x (N,), indices (C, 27, M) -> acc (M,)."""
    groups = np.zeros((len(indices), CHUNK, GROUP), np.float32)
    groups.reshape(-1)[: len(x)] = x
    # At most 5 * 128: exact as float32, and small enough for int16
    high = (groups[..., :HIGH] @ WAYS_HIGH).astype(np.int16)  # (C, 27, 9)
    low = (groups[..., HIGH:] @ WAYS_LOW).astype(np.int16)  # (C, 27, 243)

    def work(first: int, last: int) -> I32:
        part = slice(first, last)
        return _look_up(high[part], low[part], indices[part])

    return np.add.reduce(split(work, len(indices), WORTH // indices[0].size))


def _look_up(high: Sums, low: Sums, indices: Indices) -> I32:
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
