"""The ternary product through float32 BLAS, and why it is exact.

NumPy multiplies float matrices with a tuned library, BLAS, and integer ones with a
plain loop many times slower. So a block of rows is unpacked to float32, multiplied by
BLAS and forgotten. Floats usually mean rounding; here there is none. Every code and
every partial sum is a whole number, and float32 holds each whole number up to 2**24
exactly.

Notes
-----
What is unpacked is the stored value, code + 1, which is 0, 1 or 2; the sum of the
activations is taken off at the end::

    sum(x * code) = sum(x * (code + 1)) - sum(x)

Any partial sum of the first term, in any order, is at most ``2 * 128 * N`` in
magnitude, so the product is exact while ``256 * N <= 2**24``, that is for N up to
65,536 (2B4T has 6912). A wider matrix is cut into pieces of that many columns.

References
----------
IEEE 754-2019: a binary32 has 24 significant bits.

Examples
--------
The first whole number that float32 lacks:

>>> int(np.float32(2**24)) - 2**24, int(np.float32(2**24 + 1)) - 2**24
(0, 0)
>>> from minibitnet.packing import pack
>>> x_codes = np.array([[-128, 127, 5]], np.int8)
>>> blas_matmul_packed(x_codes, pack(np.array([[1, -1, 0]] * 4, np.int8)))
array([[-255, -255, -255, -255]], dtype=int32)
"""

import numpy as np
from numpy.typing import NDArray

from minibitnet.packing import SHIFTS

EXACT_COLUMNS = 2**24 // (2 * 128)  # |partial sum| <= 2 * 128 * columns <= 2**24
BLOCK_BYTES = 2**20  # of float32 weights: about one core's cache


def blas_matmul_packed(
    x_codes: NDArray[np.int8], packed: NDArray[np.uint8]
) -> NDArray[np.int32]:
    """The product of `minibitnet.matmul.ternary_matmul_packed`, faster.

    Parameters
    ----------
    x_codes : ndarray of shape (T, N), int8
        Activation codes.
    packed : ndarray of shape (R, N), uint8
        Four bands of rows, see `minibitnet.packing`.

    Returns
    -------
    acc : ndarray of shape (T, 4 * R), int32
        Exact.
    """
    T, R, N = len(x_codes), len(packed), packed.shape[1]
    acc = np.zeros((T, len(SHIFTS), R), np.int32)
    for start in range(0, N, EXACT_COLUMNS):
        columns = slice(start, start + EXACT_COLUMNS)
        _accumulate(acc, x_codes[:, columns].astype(np.float32), packed[:, columns])
    return acc.reshape(T, len(SHIFTS) * R)


def _accumulate(
    acc: NDArray[np.int32], x: NDArray[np.float32], packed: NDArray[np.uint8]
) -> None:
    """Add the product of one piece of columns to acc (T, 4, R)."""
    R, N = packed.shape
    x_sum = x.sum(axis=1, keepdims=True)  # exact, like the product
    rows = max(1, min(R, BLOCK_BYTES // (4 * max(N, 1))))
    stored = np.empty((rows, N), np.uint8)
    weight = np.empty((rows, N), np.float32)
    for start in range(0, R, rows):
        block = packed[start : start + rows]
        r = len(block)
        for band, shift in enumerate(SHIFTS):
            np.right_shift(block, shift, out=stored[:r])
            np.bitwise_and(stored[:r], 3, out=stored[:r])
            weight[:r] = stored[:r]
            product = x @ weight[:r].T - x_sum
            acc[:, band, start : start + r] += product.astype(np.int32)
