"""TL1: bitnet.cpp's two weights to an index, for table look-up on ARM.

Two weights can be nine things. The kernel makes, for each pair of activations, a table
of the nine sums they can give, and a weight pair is stored as the number of its entry:
four bits, which an ARM core's table instruction takes as they are.

Notes
-----
For weights a, b that are neighbours in a row::

    index = 3 a + b + 4         (-1, -1) -> 0   (0, 0) -> 4   (+1, +1) -> 8

and two indices make a byte, the first in the high half: four neighbours a byte, 2 bits
a weight. Indices 9 to 15 are never used.

Here rows follow one another. In files of bitnet.cpp the same bytes stand in tiles,
whose sizes (BM, BK, bm) were tuned for one shape and one machine when the program was
built, and stand in no file. So a TL1 file cannot be read without its kernel_config.ini:
this module is what a TL1 index means, not a reader. The scale is an array beside it.

References
----------
Wang et al., Bitnet.cpp, 2025, arXiv 2502.11880, section 3.1 and table 5;
microsoft/BitNet, utils/codegen_tl1.py.

Examples
--------
+1, 0 is 3 + 0 + 4 = 7; -1, +1 is -3 + 1 + 4 = 2; together 0x72. With the first pair in
the low half it would be 0x27.

>>> hex(pack(np.array([[1, 0, -1, 1]], np.int8))[0])
'0x72'
>>> unpack(np.array([0x72], np.uint8), 1, 4)
array([[ 1,  0, -1,  1]], dtype=int8)
"""

import numpy as np

from minibitnet.arrays import I8, U8
from minibitnet.formats.checks import check_multiple, check_size, to_codes, to_stored

BITS_PER_WEIGHT = 2.0


def pack(w_codes: I8) -> U8:
    """Two pairs to a byte: w_codes (M, N), N a multiple of 4 -> data (M * N / 4,)."""
    check_multiple("N", w_codes.shape[1], 4)
    pairs = to_stored(w_codes).reshape(-1, 2, 2)
    indices = 3 * pairs[..., 0] + pairs[..., 1]  # code + 1 makes it 3 a + b + 4
    return indices[:, 0] << np.uint8(4) | indices[:, 1]


def unpack(data: U8, M: int, N: int) -> I8:
    """Two pairs from each byte: data (M * N / 4,) -> w_codes (M, N).

    Raises ValueError if an index is above 8.
    """
    check_multiple("N", N, 4)
    check_size(data, M * N // 4)
    indices = np.stack([data >> 4, data & 15], axis=1)
    if indices.size and indices.max() > 8:
        raise ValueError(f"data must hold indices up to 8, got {indices.max()}")
    return to_codes(np.stack([indices // 3, indices % 3], axis=2).reshape(M, N))
