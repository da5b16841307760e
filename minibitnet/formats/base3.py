"""Base 3: five weights to a byte, the densest that is still simple.

A weight of three values carries log2(3) = 1.585 bits. Five of them make one of 243
things, a byte can be one of 256, so five to a byte cost 1.6 bits a weight, one percent
above what can be.

Notes
-----
Each row by itself, ``ceil(N / 5)`` bytes. With the digits ``t = code + 1``, the first
weight the highest::

    byte j = 81 t[5j] + 27 t[5j+1] + 9 t[5j+2] + 3 t[5j+3] + t[5j+4]

Weights that are missing at the end of a row are 0, stored as the digit 1. The bytes 243
to 255 are never used. No runtime has just this layout: llama.cpp's TQ1_0 is it with
other neighbours and a fraction in place of the number.

References
----------
The counting argument is its own; `minibitnet.formats.tq1_0` has what is used.

Examples
--------
+1, 0, -1, -1, +1 are the digits 2 1 0 0 2: 2*81 + 27 + 2 = 191. With the first weight
as the lowest digit it would be 2 + 3 + 2*81 = 167.

>>> data = pack(np.array([[1, 0, -1, -1, 1, 1]], np.int8))
>>> data
array([191, 202], dtype=uint8)
>>> unpack(data, 1, 6)
array([[ 1,  0, -1, -1,  1,  1]], dtype=int8)
"""

import numpy as np

from minibitnet.arrays import I8, U8
from minibitnet.formats.checks import check_size, to_codes, to_stored

BITS_PER_WEIGHT = 1.6
FIVE = 5  # weights of a byte
POWERS = np.array([81, 27, 9, 3, 1], np.uint8)


def pack(w_codes: I8) -> U8:
    """Five weights of a row to a byte: w_codes (M, N) -> data (M * ceil(N / 5),)."""
    M, N = w_codes.shape
    digits = np.ones((M, -(-N // FIVE) * FIVE), np.uint8)
    digits[:, :N] = to_stored(w_codes)
    return (digits.reshape(-1, FIVE) * POWERS).sum(axis=1, dtype=np.uint8)


def unpack(data: U8, M: int, N: int) -> I8:
    """Five weights from each byte: data (M * ceil(N / 5),) -> w_codes (M, N).

    Raises ValueError if a byte is above 242, or a missing weight is not 0.
    """
    check_size(data, M * -(-N // FIVE))
    if data.size and data.max() > 242:
        raise ValueError(f"data must be bytes up to 242, got {data.max()}")
    digits = (data[:, None] // POWERS % 3).reshape(M, -1)
    if (digits[:, N:] != 1).any():
        raise ValueError(f"data must have zeros behind the {N} weights of a row")
    return to_codes(digits[:, :N])
