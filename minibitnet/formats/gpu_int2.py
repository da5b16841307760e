"""GPU int2: Microsoft's two bits a weight, arranged for a GPU's threads.

A 32-bit word holds 16 neighbours of one row, so arranged that a shift and a mask make
four weights side by side as bytes, which the GPU's instruction for four products of
bytes takes. The words of 16 rows and 32 columns are then laid in the order in which the
threads of a warp read them.

Notes
-----
A code is stored as ``code + 2``: -1 -> 1, 0 -> 2, +1 -> 3, and 0 is never used. For the
weight in row n, column k::

    block   (n // 16) * (N / 32) + k // 32              128 bytes each
    word    (r // 8) * 16 + (c // 16) * 8 + r % 8       r = n % 16, c = k % 32
    byte    e % 4, bits 2 * (e // 4) and up             e = c % 16

So ``word >> 2 i & 0x03030303`` are the weights 4 i to 4 i + 3, each a byte. The shape
that a checkpoint names, (M, N / 4), is only a container. Scales are an array beside it,
and multiply. 2 bits a weight.

References
----------
microsoft/BitNet, gpu/pack_weight.py and gpu/bitnet_kernels/bitnet_kernels.h.

Examples
--------
The first word of a matrix of ones and a -1 in column 4: element 4 is in byte 0, bits 2
and 3. The byte is 3 | 1 << 2 | 3 << 4 | 3 << 6 = 247, the others 255. With four
neighbours in a byte it would be the second byte, 253.

>>> w_codes = np.ones((16, 32), np.int8)
>>> w_codes[0, 4] = -1
>>> pack(w_codes)[:4]
array([247, 255, 255, 255], dtype=uint8)
"""

import numpy as np

from minibitnet.arrays import I8, U8
from minibitnet.formats.checks import check_multiple, check_size, to_codes, to_stored

BITS_PER_WEIGHT = 2.0
ROWS, COLUMNS = 16, 32  # of a block
SHIFTS = np.array([0, 2, 4, 6], np.uint8)
# Of the axes n // 16, n // 8 % 2, n % 8, k // 32, k // 16 % 2, e // 4, e % 4:
ORDER = (0, 3, 1, 4, 2, 6, 5)  # block, word, byte, bits


def pack(w_codes: I8) -> U8:
    """Blocks of 16 x 32: w_codes (M, N) -> data (M * N / 4,).

    M must be a multiple of 16 and N of 32.
    """
    M, N = w_codes.shape
    stored = (to_stored(w_codes) + np.uint8(1)).reshape(_axes(M, N)).transpose(ORDER)
    return np.bitwise_or.reduce(stored << SHIFTS, axis=-1).reshape(-1)


def unpack(data: U8, M: int, N: int) -> I8:
    """The codes: data (M * N / 4,) -> w_codes (M, N).

    Raises ValueError if there is a 0, which is no code.
    """
    axes = _axes(M, N)
    check_size(data, M * N // 4)
    stored = (data[:, None] >> SHIFTS & 3).reshape([axes[axis] for axis in ORDER])
    if (stored == 0).any():
        raise ValueError("data must hold codes 1, 2 and 3, got 0")
    back = np.argsort(ORDER)
    return to_codes((stored - np.uint8(1)).transpose(back).reshape(M, N))


def _axes(M: int, N: int) -> tuple[int, ...]:
    """The seven axes into which a matrix is parted."""
    check_multiple("M", M, ROWS)
    check_multiple("N", N, COLUMNS)
    return M // ROWS, 2, 8, N // COLUMNS, 2, 4, 4
