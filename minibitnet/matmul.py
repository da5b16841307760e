"""The ternary product: add, subtract, skip.

A matrix product multiplies each activation by a weight and adds up. Where the weight is
+1 that is adding, where it is -1 subtracting, and where it is 0 there is nothing to do.
So a row of weights is two masks: which activations to add and which to subtract. There
is no multiplication, and integers add up to the same sum in any order: this is the
definition of the product, which every faster kernel must return to the last bit.

Notes
-----
::

    acc[t, m] = sum of x_codes[t, n] where w_codes[m, n] == +1
              - sum of x_codes[t, n] where w_codes[m, n] == -1

int8 codes are summed as int32: ``|acc| <= 128 * N``, which for the widest matrix of
2B4T (N = 6912) is 884,736. An int8 sum overflows within a few terms; an
int16 sum, which some kernels use, can from the 256th on.

References
----------
Ma et al., The Era of 1-bit LLMs, 2024, arXiv 2402.17764, figure 1.

Examples
--------
The first output is 100 + 120 - (-7), more than an int8 holds; the second 100 - 120.

>>> x_codes = np.array([[100, 120, -7, 5]], np.int8)
>>> w_codes = np.array([[1, 1, -1, 0], [1, -1, 0, 0]], np.int8)
>>> ternary_matmul(x_codes, w_codes)
array([[227, -20]], dtype=int32)
"""

import numpy as np
from numpy.typing import NDArray

from minibitnet.packing import SHIFTS


def ternary_matmul(
    x_codes: NDArray[np.int8], w_codes: NDArray[np.int8]
) -> NDArray[np.int32]:
    """Each token's sums and differences, one for each row of weights.

    Parameters
    ----------
    x_codes : ndarray of shape (T, N), int8
        Activation codes.
    w_codes : ndarray of shape (M, N), int8
        Each is -1, 0 or +1.

    Returns
    -------
    acc : ndarray of shape (T, M), int32
        Exact.
    """
    T, M = len(x_codes), len(w_codes)
    acc = np.empty((T, M), np.int32)
    for m, row in enumerate(w_codes):
        acc[:, m] = add_and_subtract(x_codes, row == +1, row == -1)
    return acc


def ternary_matmul_packed(
    x_codes: NDArray[np.int8], packed: NDArray[np.uint8]
) -> NDArray[np.int32]:
    """The same product, the masks taken straight from packed bytes.

    Parameters
    ----------
    x_codes : ndarray of shape (T, N), int8
        Activation codes.
    packed : ndarray of shape (R, N), uint8
        Four bands of rows, see `minibitnet.packing`.

    Returns
    -------
    acc : ndarray of shape (T, 4 * R), int32
        Exact; columns past M belong to rows that do not exist.
    """
    T, R = len(x_codes), len(packed)
    acc = np.empty((T, len(SHIFTS), R), np.int32)
    for r, row in enumerate(packed):
        for band, shift in enumerate(SHIFTS):
            stored = (row >> shift) & 3  # code + 1
            acc[:, band, r] = add_and_subtract(x_codes, stored == 2, stored == 0)
    return acc.reshape(T, len(SHIFTS) * R)


def add_and_subtract(
    x_codes: NDArray[np.int8], plus: NDArray[np.bool_], minus: NDArray[np.bool_]
) -> NDArray[np.int32]:
    """The sum of some columns less the sum of some others.

    Parameters
    ----------
    x_codes : ndarray of shape (T, N), int8
        Activation codes.
    plus, minus : ndarray of shape (N,), bool
        Which columns to add, which to subtract.

    Returns
    -------
    sums : ndarray of shape (T,), int32
        One for each token.
    """
    added = x_codes[:, plus].sum(axis=1, dtype=np.int32)
    subtracted = x_codes[:, minus].sum(axis=1, dtype=np.int32)
    return added - subtracted
