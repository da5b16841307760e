"""TQ1_0: llama.cpp's five weights to a byte, in blocks of 256 with a scale each.

Three to the fifth is 243, so five weights fit into a byte as a number in base 3. The
number is stored as a fraction, ``ceil(256 * v / 243)``: multiplied by 3 it overflows
its byte by just the first digit, so that a program can read digit after digit without
dividing.

Notes
-----
A block of 256 weights is 54 bytes, 1.6875 bits a weight. With ``t = code + 1`` as
digits, the first the highest, ``v = 81 t0 + 27 t1 + 9 t2 + 3 t3 + t4``::

    bytes  0 .. 31   byte m: weights m + 32 n,        n = 0 .. 4    the first 160
    bytes 32 .. 47   byte m: weights 160 + m + 16 n,  n = 0 .. 4    the next   80
    bytes 48 .. 51   byte m: weights 240 + m + 4 n,   n = 0 .. 3    the last   16
    bytes 52, 53     the scale, float16: the largest magnitude of the block

The last four bytes hold four digits and a zero digit (t4 = 0). Digit n of a byte q is
``(q * 3**n mod 256) * 3 >> 8``.

References
----------
ggml, ``block_tq1_0`` in ggml-common.h, ``quantize_row_tq1_0_ref`` and
``dequantize_row_tq1_0``.

Examples
--------
Weights 0, 32, 64, 96, 128 of a row are +1, 0, -1, -1, +1: the digits 2 1 0 0 2 are
2*81 + 27 + 2 = 191, and 256 * 191 / 243 rounded up is 202. The plain number in base 3
would be 191.

>>> w_codes = np.zeros((1, 256), np.int8)
>>> w_codes[0, 0:160:32] = 1, 0, -1, -1, 1
>>> data = pack(w_codes, 0.525)
>>> int(data[0]), len(data), unpack_scales(data, 1, 256).tolist()
(202, 54, [[0.52490234375]])
>>> [(202 * 3**n % 256) * 3 >> 8 for n in range(5)]
[2, 1, 0, 0, 2]
"""

import numpy as np

from minibitnet.arrays import F16, I8, U8
from minibitnet.formats.checks import check_multiple, check_size, to_codes, to_stored

BLOCK = 256  # weights
BYTES = 54  # of a block: 52 of codes, 2 of scale
BITS_PER_WEIGHT = 8 * BYTES / BLOCK
PARTS = ((160, 5), (80, 5), (16, 4))  # weights, and how many of them share a byte
POWERS = np.array([81, 27, 9, 3, 1], np.uint16)


def pack(w_codes: I8, w_scale: float = 1.0) -> U8:
    """Blocks of 256, each with the scale: w_codes (M, N) -> data (n,).

    N must be a multiple of 256; n = M * N / 256 * 54.
    """
    check_multiple("N", w_codes.shape[1], BLOCK)
    stored, start, data = to_stored(w_codes).reshape(-1, BLOCK), 0, []
    for count, digits in PARTS:
        part = stored[:, start : start + count].reshape(len(stored), digits, -1)
        numbers = (part * POWERS[:digits, None]).sum(axis=1, dtype=np.uint16)
        data.append(((numbers * 256 + 242) // 243).astype(np.uint8))  # rounded up
        start += count
    used = w_codes.reshape(-1, BLOCK).any(axis=1)
    scales = (used * np.float32(w_scale)).astype("<f2")[:, None]
    return np.concatenate([*data, scales.view(np.uint8)], axis=1).reshape(-1)


def unpack(data: U8, M: int, N: int) -> I8:
    """The codes of blocks of 256: data (n,) -> w_codes (M, N).

    Raises ValueError if a byte is no number of five digits, or not of the size.
    """
    blocks, start, parts = _blocks(data, M, N), 0, []
    for count, digits in PARTS:
        stored = blocks[:, start : start + count // digits]
        start += count // digits
        # As a byte: q * 3**n, of which the highest 8 bits of 16 times 3 are the digit
        turned = stored[:, None, :] * (3 ** np.arange(digits, dtype=np.uint8))[:, None]
        part = (turned.astype(np.uint16) * 3 >> 8).astype(np.uint8)
        numbers = (part * POWERS[:digits, None]).sum(axis=1, dtype=np.uint16)
        if ((numbers * 256 + 242) // 243 != stored).any():
            raise ValueError(f"data must be numbers of {digits} digits in base 3")
        parts.append(part.reshape(len(blocks), count))
    return to_codes(np.concatenate(parts, axis=1).reshape(M, N))


def unpack_scales(data: U8, M: int, N: int) -> F16:
    """The scale of each block: data (n,) -> scales (M, N / 256)."""
    return _blocks(data, M, N)[:, 52:].copy().view("<f2").reshape(M, N // BLOCK)


def _blocks(data: U8, M: int, N: int) -> U8:
    """One block a row: data (n,) -> blocks (B, 54)."""
    check_multiple("N", N, BLOCK)
    check_size(data, M * N // BLOCK * BYTES)
    return data.reshape(-1, BYTES)
