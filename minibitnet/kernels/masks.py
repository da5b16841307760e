"""Masks: the definition of the ternary product, taken straight from packed bytes.

A row of weights is two masks over the activations, those to add and those to subtract,
and a byte has four such rows. Nothing is laid out anew and nothing is multiplied: slow,
and the oracle of the other kernels.

Examples
--------
>>> from minibitnet.packing import pack
>>> multiply = prepare([pack(np.array([[1, -1, 0]] * 3, np.int8))], [3])
>>> multiply(np.array([[-128, 127, 5]], np.int8))
[array([[-255, -255, -255]], dtype=int32)]
"""

from collections.abc import Sequence

import numpy as np

from minibitnet.arrays import I8, I32, U8
from minibitnet.matmul import Multiply
from minibitnet.packing import SHIFTS


def prepare(packed: Sequence[U8], rows: Sequence[int]) -> Multiply:
    """A function that multiplies by these matrices, one after another."""
    matrices = list(zip(packed, rows, strict=True))
    return lambda x_codes: [masks_matmul(x_codes, p)[:, :M] for p, M in matrices]


def masks_matmul(x_codes: I8, packed: U8) -> I32:
    """The product with every row that the bytes have room for.

    x_codes (T, N), packed (R, N) -> acc (T, 4 * R)
    """
    T, R = len(x_codes), len(packed)
    acc = np.empty((T, len(SHIFTS), R), np.int32)
    for r, row in enumerate(packed):
        for band, shift in enumerate(SHIFTS):
            stored = (row >> shift) & 3  # code + 1
            added = x_codes[:, stored == 2].sum(axis=1, dtype=np.int32)
            subtracted = x_codes[:, stored == 0].sum(axis=1, dtype=np.int32)
            acc[:, band, r] = added - subtracted
    return acc.reshape(T, len(SHIFTS) * R)
