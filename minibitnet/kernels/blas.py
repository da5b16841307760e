"""The ternary product through float32 BLAS, and why it is exact.

NumPy multiplies float matrices with a tuned library, BLAS, and integer ones with a
plain loop many times slower. So a block of rows is unpacked to float32, multiplied by
BLAS and forgotten. Floats usually mean rounding; here there is none. Every code and
every partial sum is a whole number, and float32 holds each whole number up to 2**24
exactly.

Unpacking is looking up: a byte is one of 256, and a table has the four weights that
each of them stands for.

Notes
-----
Any partial sum, in any order, is at most ``128 * N`` in magnitude, so the product is
exact while ``128 * N <= 2**24``, that is for N up to 131,072 (2B4T has 6912). A wider
matrix is cut into pieces of that many columns.

References
----------
IEEE 754-2019: a binary32 has 24 significant bits.

Examples
--------
The first whole number that float32 lacks:

>>> int(np.float32(2**24)) - 2**24, int(np.float32(2**24 + 1)) - 2**24
(0, 0)

A byte, 0b10_01_00_01, and its weights, lowest bits first:

>>> WEIGHTS_OF_BYTE[0b10_01_00_01]
array([ 0., -1.,  0.,  1.], dtype=float32)
>>> from minibitnet.packing import pack
>>> x_codes = np.array([[-128, 127, 5]], np.int8)
>>> blas_matmul(x_codes, pack(np.array([[1, -1, 0]] * 4, np.int8)))
array([[-255, -255, -255, -255]], dtype=int32)
"""

from collections.abc import Sequence

import numpy as np

from minibitnet.arrays import I8, I32, U8
from minibitnet.kernels.threads import split
from minibitnet.matmul import Multiply
from minibitnet.packing import CODES_PER_BYTE, unpack

EXACT_COLUMNS = 2**24 // 128  # |partial sum| <= 128 * columns <= 2**24
BLOCK = 3 * 2**16  # bytes unpacked at a time, to 3 MB of float32
UNPACKING = 16  # unpacking a weight takes as long as that many multiply-adds
WORTH = 2**22  # multiplications that are worth a thread
EVERY_BYTE = np.arange(256, dtype=np.uint8)[None]
WEIGHTS_OF_BYTE = unpack(EVERY_BYTE).T.astype(np.float32, order="C")  # (256, 4)


def prepare(packed: Sequence[U8], rows: Sequence[int]) -> Multiply:
    """A function that multiplies by these matrices; nothing is laid out anew."""
    matrices = list(zip(packed, rows, strict=True))
    return lambda x_codes: [blas_matmul(x_codes, p)[:, :M] for p, M in matrices]


def blas_matmul(x_codes: I8, packed: U8) -> I32:
    """The product with every row that the bytes have room for.

    x_codes (T, N), packed (R, N) -> acc (T, 4 * R)
    """
    N = packed.shape[1]
    if N > EXACT_COLUMNS:
        here, there = slice(EXACT_COLUMNS), slice(EXACT_COLUMNS, N)
        acc = blas_matmul(x_codes[:, here], packed[:, here])
        return acc + blas_matmul(x_codes[:, there], packed[:, there])
    T, R = len(x_codes), len(packed)
    x = x_codes.astype(np.float32)
    acc = np.empty((T, CODES_PER_BYTE, R), np.int32)
    rows = min(R, -(-BLOCK // max(1, N)))

    def work(first: int, last: int) -> None:
        space = np.empty((N * rows, CODES_PER_BYTE), np.float32)
        for start in range(first, last, rows):
            bytes_ = packed[start : min(start + rows, last)].T  # (N, r)
            r = bytes_.shape[1]
            weights = space[: N * r].reshape(N, r, CODES_PER_BYTE)
            # No index is out of range; "wrap" spares NumPy a copy that "raise" makes.
            WEIGHTS_OF_BYTE.take(bytes_, axis=0, out=weights, mode="wrap")
            product = x @ weights.reshape(N, r * CODES_PER_BYTE)  # whole numbers
            bands = product.reshape(T, r, CODES_PER_BYTE).swapaxes(1, 2)
            acc[:, :, start : start + r] = bands

    cost = CODES_PER_BYTE * N * (T + UNPACKING)  # of a row of bytes
    split(work, R, WORTH // max(1, cost))
    return acc.reshape(T, CODES_PER_BYTE * R)
