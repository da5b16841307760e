"""Blocks of real numbers: Q8_0 and Q6_K, in which GGUF files keep an embedding.

These are no ternary layouts. An embedding, which is not ternary, is often stored with
8 or 6 bits a number: a block of neighbours shares a scale, and a number is a small
integer times that. They can be read here, not written: rounding an embedding changes
the model.

Notes
-----
Q8_0, a block of 32 numbers in 34 bytes: the scale d as float16, 32 int8 codes; a number
is ``d * code``.

Q6_K, a block of 256 in 210 bytes: 128 bytes of low halves, 64 bytes of the two highest
bits, 16 int8 scales, and d as float16. In each half of a block, for l = 0 .. 31::

    low halves     byte l       weight l in its low half, l + 64 in its high half
                   byte l + 32  weight l + 32, l + 96
    highest bits   byte l       bits 0-1 of weight l, 2-3 of l + 32, 4-5 of l + 64,
                                6-7 of l + 96

The code is ``low + 16 * high - 32``, and a number ``d * scale[i // 16] * code``.

References
----------
ggml, ``block_q8_0``, ``block_q6_K`` and ``dequantize_row_q6_K``.

Examples
--------
>>> d = np.array([0.5], np.float16).view(np.uint8)
>>> codes = np.arange(32, dtype=np.int8).view(np.uint8)
>>> widen_q8_0(np.concatenate([d, codes]), 1, 32)[0, :4]
array([0. , 0.5, 1. , 1.5], dtype=float32)
"""

import numpy as np

from minibitnet.arrays import F32, U8
from minibitnet.formats.checks import check_multiple, check_size


def widen_q8_0(data: U8, M: int, N: int) -> F32:
    """Blocks of 32 with a scale: data (M * N / 32 * 34,) -> values (M, N)."""
    check_multiple("N", N, 32)
    check_size(data, M * N // 32 * 34)
    blocks = data.reshape(-1, 34)
    d = blocks[:, :2].copy().view("<f2").astype(np.float32)
    return (d * blocks[:, 2:].view(np.int8).astype(np.float32)).reshape(M, N)


def widen_q6_k(data: U8, M: int, N: int) -> F32:
    """Blocks of 256 with 16 scales: data (M * N / 256 * 210,) -> values (M, N)."""
    check_multiple("N", N, 256)
    check_size(data, M * N // 256 * 210)
    blocks = data.reshape(-1, 210)
    low = blocks[:, :128].reshape(-1, 2, 1, 64) >> np.array([[0], [4]], np.uint8)
    high = blocks[:, 128:192].reshape(-1, 2, 1, 32) >> np.array(
        [[0], [2], [4], [6]], np.uint8
    )
    # (blocks, halves, fours, 32): low is (blocks, halves, 2, 64), in the same order
    codes = (low & 15).reshape(-1, 2, 4, 32) | (high & 3) << np.uint8(4)
    scales = blocks[:, 192:208].view(np.int8).astype(np.float32)
    d = blocks[:, 208:].copy().view("<f2").astype(np.float32)
    sixteens = codes.astype(np.float32).reshape(-1, 16, 16) - 32
    return ((d * scales)[:, :, None] * sixteens).reshape(M, N)
