"""TL2: bitnet.cpp's three weights to an index and a sign, for table look-up on x86.

Three weights can be 27 things, too many for four bits. But with every sign turned, the
sum is only negated. So 14 sums are enough, those with ``v = 9 a + 3 b + c`` from 0 to
13, and a sign bit says whether to negate. Five bits for three weights.

Notes
-----
For weights a, b, c that are neighbours in a row, ``v = 9 a + 3 b + c``::

    index = |v|, 0 .. 13, four bits         sign = 1 where v < 0

Columns are taken 96 at a time. Those that are left over (N modulo 96, a multiple of 4)
are stored by pairs, as in TL1. A matrix is, one row after the other in each part::

    indices   two to a byte, the first in the high half       M * K / 6 bytes
    signs     16 to a little-endian word, the first highest   M * K / 24 bytes
    pairs     of the columns left over                        M * (N - K) / 4 bytes

with ``K = N - N modulo 96``: 5/3 = 1.667 bits a weight, and 2 for those left over. For
2B4T, N = 2560 has 64 columns left over and 6912 none.

As with TL1, bitnet.cpp stores the same parts in tiles that were chosen when it was
built and stand in no file; here rows follow one another.

References
----------
Wang et al., Bitnet.cpp, 2025, arXiv 2502.11880, section 3.1 and table 6;
microsoft/BitNet, utils/codegen_tl2.py and utils/convert-hf-to-gguf-bitnet.py.

Examples
--------
(+1, +1, -1): v = 9 + 3 - 1 = 11, sign 0. (-1, 0, -1): v = -10, sign 1, index 10. So the
first byte is 0xBA and the first word of signs begins 01.

>>> w_codes = np.zeros((1, 96), np.int8)
>>> w_codes[0, :6] = 1, 1, -1, -1, 0, -1
>>> data = pack(w_codes)
>>> hex(data[0]), hex(data[16:18].view("<u2")[0]), len(data)
('0xba', '0x4000', 20)
"""

import numpy as np

from minibitnet.arrays import I8, U8
from minibitnet.formats.checks import check_multiple, check_size, to_codes, to_stored

BITS_PER_WEIGHT = 5 / 3  # without the columns left over
COLUMNS = 96  # taken at a time
BITS = np.arange(15, -1, -1, dtype=np.uint16)  # of a word of signs, the first highest


def pack(w_codes: I8) -> U8:
    """Threes, and pairs of what is left over: w_codes (M, N) -> data (n,).

    N modulo 96 must be a multiple of 4.
    """
    M, N = w_codes.shape
    K = N - N % COLUMNS
    check_multiple("N modulo 96", N - K, 4)
    stored = to_stored(w_codes).astype(np.int16)
    a, b, c = np.moveaxis(stored[:, :K].reshape(M, K // 3, 3), 2, 0)
    v = 9 * a + 3 * b + c - 13  # stored is code + 1
    indices = np.abs(v).astype(np.uint8).reshape(-1, 2)
    signs = (v < 0).astype("<u2").reshape(-1, 16)
    words = np.bitwise_or.reduce(signs << BITS, axis=1).astype("<u2")
    pairs = stored[:, K:].astype(np.uint8).reshape(-1, 2, 2)
    halves = 3 * pairs[..., 0] + pairs[..., 1]
    return np.concatenate(
        [
            indices[:, 0] << 4 | indices[:, 1],
            words.view(np.uint8),
            halves[:, 0] << 4 | halves[:, 1],
        ]
    )


def unpack(data: U8, M: int, N: int) -> I8:
    """The codes: data (n,) -> w_codes (M, N).

    Raises ValueError if an index is none, or zero has a sign.
    """
    K = N - N % COLUMNS
    check_multiple("N modulo 96", N - K, 4)
    sizes = M * K // 6, M * K // 24, M * (N - K) // 4
    check_size(data, sum(sizes))
    threes, signs, pairs = np.split(data, np.cumsum(sizes)[:-1])
    indices = np.stack([threes >> 4, threes & 15], axis=1).reshape(-1)
    negative = (signs.view("<u2")[:, None] >> BITS & 1).reshape(-1).astype(bool)
    if (indices > 13).any() or (negative & (indices == 0)).any():
        raise ValueError("data must hold indices up to 13, and no sign where it is 0")
    v = np.where(negative, -indices.astype(np.int8), indices.astype(np.int8))
    digits = (v + np.int8(13)).astype(np.uint8)  # a number of three digits in base 3
    left = np.stack([digits // 9, digits // 3 % 3, digits % 3], axis=1).reshape(M, K)
    halves = np.stack([pairs >> 4, pairs & 15], axis=1)
    if (halves > 8).any():
        raise ValueError(f"data must hold pairs up to 8, got {halves.max()}")
    right = np.stack([halves // 3, halves % 3], axis=2).reshape(M, N - K)
    return to_codes(np.concatenate([left, right], axis=1))
