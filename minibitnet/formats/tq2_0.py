"""TQ2_0: llama.cpp's two bits a weight, in blocks of 256 with a scale each.

A row is cut into blocks of 256 weights. Each half of a block is laid out as a block of
I2_S is, its four quarters one over another, but with the first quarter in the *lowest*
bits. Behind the bytes of every block stands a scale of its own.

Notes
-----
A block is 66 bytes, 2.0625 bits a weight. Byte ``m`` of half h, m = 0 .. 31, holds,
with ``i = 128 h + m``::

    bits  7 6       5 4       3 2       1 0
          w[i+96]   w[i+64]   w[i+32]   w[i]          each stored as code + 1

and bytes 64 and 65 the scale as a float16, the largest magnitude of the block. In a
ternary matrix it is the same for every block, rounded to float16, but 0 for a block of
zeros. llama.cpp quantizes activations by blocks of 256, too; so what it computes from
these very codes is not what BitNet computes.

References
----------
ggml, ``block_tq2_0`` in ggml-common.h and ``quantize_row_tq2_0_ref``.

Examples
--------
The first byte of a row whose weights 0, 32, 64, 96 are +1, -1, 0, +1: stored 2, 0, 1,
2, from the lowest bits, is 2 + 0*4 + 1*16 + 2*64 = 146. In I2_S it is 134.

>>> w_codes = np.zeros((1, 256), np.int8)
>>> w_codes[0, [0, 32, 64, 96]] = 1, -1, 0, 1
>>> data = pack(w_codes, 0.525)
>>> int(data[0]), len(data), unpack_scales(data, 1, 256).tolist()
(146, 66, [[0.52490234375]])
"""

import numpy as np

from minibitnet.arrays import F16, I8, U8
from minibitnet.formats.checks import check_multiple, check_size, to_codes, to_stored

BLOCK = 256  # weights
BYTES = 66  # of a block: 64 of codes, 2 of scale
BITS_PER_WEIGHT = 8 * BYTES / BLOCK
SHIFTS = np.array([0, 2, 4, 6], np.uint8)  # of the quarters of half a block


def pack(w_codes: I8, w_scale: float = 1.0) -> U8:
    """Blocks of 256, each with the scale: w_codes (M, N) -> data (n,).

    N must be a multiple of 256; n = M * N / 256 * 66.
    """
    check_multiple("N", w_codes.shape[1], BLOCK)
    stored = to_stored(w_codes).reshape(-1, 2, 4, 32)
    codes = np.bitwise_or.reduce(stored << SHIFTS[:, None], axis=2)  # (blocks, 2, 32)
    used = w_codes.reshape(-1, BLOCK).any(axis=1)
    scales = (used * np.float32(w_scale)).astype("<f2")[:, None]
    data = [codes.reshape(-1, 64), scales.view(np.uint8)]
    return np.concatenate(data, axis=1).reshape(-1)


def unpack(data: U8, M: int, N: int) -> I8:
    """The codes of blocks of 256: data (n,) -> w_codes (M, N)."""
    codes = _blocks(data, M, N)[:, :64].reshape(-1, 2, 1, 32)
    return to_codes((codes >> SHIFTS[:, None] & 3).reshape(M, N))


def unpack_scales(data: U8, M: int, N: int) -> F16:
    """The scale of each block: data (n,) -> scales (M, N / 256)."""
    return _blocks(data, M, N)[:, 64:].copy().view("<f2").reshape(M, N // BLOCK)


def _blocks(data: U8, M: int, N: int) -> U8:
    """One block a row: data (n,) -> blocks (B, 66)."""
    check_multiple("N", N, BLOCK)
    check_size(data, M * N // BLOCK * BYTES)
    return data.reshape(-1, BYTES)
