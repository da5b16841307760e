"""I2_S: two bits a weight, in blocks along a row, the first weights in the high bits.

It is the layout of the published GGUF file of 2B4T. A row is cut into blocks of 128
weights. The four quarters of a block are laid one over another, so that a byte holds
four weights that stand 32 apart, the first in the highest two bits.

Notes
-----
A block is 32 bytes. Byte ``m`` of it, m = 0 .. 31, holds::

    bits  7 6       5 4       3 2       1 0
          w[m]      w[m+32]   w[m+64]   w[m+96]       each stored as code + 1

Behind all blocks of a matrix stand 32 bytes more, a tail: the scale as a float32, which
multiplies, and 28 bytes without a meaning. So a matrix takes ``M * N / 4 + 32`` bytes,
2 bits a weight, though the type table of GGUF says otherwise. The stored value 3 is
never used.

Three layouts share one type number (36), and nothing in a file tells them apart. Files
on the hub have the first:

`pack`
    blocks of 128 weights, 32 bytes, as above
`pack_arm`
    blocks of 64 weights, 16 bytes: byte m holds m, m + 16, m + 32, m + 48. What
    bitnet.cpp built for ARM has read and written since November 2025; it shows the
    published file as nonsense (GGGG)
`pack_rows`
    no blocks: a byte holds four consecutive rows of one column, the first in the
    highest bits. What bitnet.cpp built for x86 without ``ACT_PARALLEL`` has

References
----------
microsoft/BitNet, src/ggml-bitnet-mad.cpp and utils/convert-hf-to-gguf-bitnet.py;
microsoft/BitNet issue 585 (the blocks of 64).

Examples
--------
The first byte of a row whose weights 0, 32, 64, 96 are +1, -1, 0, +1: stored 2, 0, 1,
2, from the highest bits, is 2*64 + 0*16 + 1*4 + 2 = 134. With the first weight in the
lowest bits it would be 2 + 0*4 + 1*16 + 2*64 = 146; with weights 0 to 3 in the byte
(+1, 0, 0, 0) 149.

>>> w_codes = np.zeros((1, 128), np.int8)
>>> w_codes[0, [0, 32, 64, 96]] = 1, -1, 0, 1
>>> data = pack(w_codes, 0.525)
>>> int(data[0]), len(data), float(unpack_scale(data))
(134, 64, 0.5249999761581421)
>>> bool((unpack(data, 1, 128) == w_codes).all())
True
"""

import numpy as np

from minibitnet.arrays import I8, U8
from minibitnet.formats.checks import check_multiple, check_size, to_codes, to_stored

BITS_PER_WEIGHT = 2.0  # the tail not counted
BLOCK, BLOCK_ARM = 128, 64  # weights
SHIFTS = np.array([6, 4, 2, 0], np.uint8)  # of a block's quarters, or of four rows
TAIL = 32  # bytes


def pack(w_codes: I8, w_scale: float = 1.0) -> U8:
    """Blocks of 128: w_codes (M, N), N a multiple of 128 -> data (M * N / 4 + 32,)."""
    return _pack_blocks(w_codes, w_scale, BLOCK)


def unpack(data: U8, M: int, N: int) -> I8:
    """Blocks of 128: data (M * N / 4 + 32,) -> w_codes (M, N)."""
    return _unpack_blocks(data, M, N, BLOCK)


def pack_arm(w_codes: I8, w_scale: float = 1.0) -> U8:
    """Blocks of 64: w_codes (M, N), N a multiple of 64 -> data (M * N / 4 + 32,)."""
    return _pack_blocks(w_codes, w_scale, BLOCK_ARM)


def unpack_arm(data: U8, M: int, N: int) -> I8:
    """Blocks of 64: data (M * N / 4 + 32,) -> w_codes (M, N)."""
    return _unpack_blocks(data, M, N, BLOCK_ARM)


def pack_rows(w_codes: I8, w_scale: float = 1.0) -> U8:
    """Four rows a byte: w_codes (M, N), M a multiple of 4 -> data (M * N / 4 + 32,)."""
    M, N = w_codes.shape
    check_multiple("M", M, 4)
    return _join(to_stored(w_codes).reshape(M // 4, 4, N), w_scale)


def unpack_rows(data: U8, M: int, N: int) -> I8:
    """Four rows a byte: data (M * N / 4 + 32,) -> w_codes (M, N)."""
    check_multiple("M", M, 4)
    check_size(data, M * N // 4 + TAIL)
    return to_codes(_part(data[:-TAIL].reshape(M // 4, N)).reshape(M, N))


def unpack_scale(data: U8) -> np.float32:
    """The scale in the tail of any of the three: data (n,) -> w_scale ()."""
    return np.float32(data[-TAIL:][:4].view("<f4")[0])


def _pack_blocks(w_codes: I8, w_scale: float, block: int) -> U8:
    """Blocks of so many weights, their quarters one over another, and the tail."""
    check_multiple("N", w_codes.shape[1], block)
    return _join(to_stored(w_codes).reshape(-1, 4, block // 4), w_scale)


def _unpack_blocks(data: U8, M: int, N: int, block: int) -> I8:
    """The codes of blocks: data (M * N / 4 + 32,) -> w_codes (M, N)."""
    check_multiple("N", N, block)
    check_size(data, M * N // 4 + TAIL)
    return to_codes(_part(data[:-TAIL].reshape(-1, block // 4)).reshape(M, N))


def _join(fours: U8, w_scale: float) -> U8:
    """Four stored codes a byte, and the tail: fours (B, 4, n) -> data (B * n + 32,)."""
    data = np.bitwise_or.reduce(fours << SHIFTS[:, None], axis=1)
    tail = np.zeros(TAIL, np.uint8)
    tail[:4].view("<f4")[0] = w_scale
    return np.concatenate([data.reshape(-1), tail])


def _part(data: U8) -> U8:
    """The four stored codes of each byte: data (B, n) -> fours (B, 4, n)."""
    return data[:, None, :] >> SHIFTS[:, None] & np.uint8(3)
