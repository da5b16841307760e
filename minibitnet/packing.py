"""Packing: four ternary codes in a byte, as the checkpoint stores them.

A code has three values, so two bits hold it and a byte holds four. Which four? Not
neighbours: the matrix is cut across into four bands of rows, laid one over another, and
each byte takes the four codes at the same position of the four bands.

Notes
-----
For a matrix of M rows let ``R = ceil(M / 4)``. Byte ``(r, c)`` holds::

    bits 0-1   row       r    column c    stored as code + 1:  -1 -> 0
    bits 2-3   row   R + r    column c                          0 -> 1
    bits 4-5   row 2*R + r    column c                         +1 -> 2
    bits 6-7   row 3*R + r    column c                               3 is never used

Where M is not a multiple of 4 the last band is short and its missing codes leave zero
bits. Columns stay where they are. Other programs lay the same codes out otherwise
(bitnet.cpp's I2_S takes blocks along a row, highest bits first).

References
----------
Hugging Face transformers, integrations/bitnet.py, ``pack_weights`` and
``unpack_weights``; the layout of microsoft/bitnet-b1.58-2B-4T.

Examples
--------
Eight rows of one column make two bytes. The first holds rows 0, 2, 4, 6: the stored
values 0, 2, 0, 2, lowest bits first, are 0 + 2*4 + 0*16 + 2*64 = 136. Rows 0, 1, 2, 3
together would have been 0 + 1*4 + 2*16 + 2*64 = 164.

>>> codes = np.array([[-1], [0], [1], [1], [-1], [-1], [1], [0]], np.int8)
>>> pack(codes)
array([[136],
       [ 73]], dtype=uint8)
>>> unpack(pack(codes)).T
array([[-1,  0,  1,  1, -1, -1,  1,  0]], dtype=int8)
"""

import numpy as np

from minibitnet.arrays import I8, U8

CODES_PER_BYTE = 4
SHIFTS = (0, 2, 4, 6)  # of the four bands, first band in the lowest bits


def pack(w_codes: I8) -> U8:
    """Four bands of rows, two bits a code, in one array of bytes.

    w_codes (M, N) -> packed (ceil(M / 4), N)

    Raises ValueError if a code is not -1, 0 or +1.
    """
    check_codes(w_codes)
    M, N = w_codes.shape
    R = -(-M // CODES_PER_BYTE)  # rounded up
    bands = np.zeros((CODES_PER_BYTE, R, N), np.uint8)
    bands.reshape(-1, N)[:M] = w_codes + 1
    packed = np.zeros((R, N), np.uint8)
    for band, shift in zip(bands, SHIFTS, strict=True):
        packed |= band << shift
    return packed


def check_codes(w_codes: I8) -> None:
    """A ValueError if a code is not -1, 0 or +1.

    w_codes (M, N) -> nothing
    """
    if w_codes.size and (w_codes.min() < -1 or w_codes.max() > 1):
        raise ValueError(
            f"w_codes must be -1, 0 or +1, got {w_codes.min()} to {w_codes.max()}"
        )


def unpack(packed: U8, rows: int | None = None) -> I8:
    """The ternary codes of packed bytes, or the first so many rows of them.

    packed (R, N) -> w_codes (M, N)
    """
    bands = [((packed >> shift) & 3).astype(np.int8) - np.int8(1) for shift in SHIFTS]
    return np.concatenate(bands)[:rows]


def find_unused_code(packed: U8) -> tuple[int, int] | None:
    """Row and column of the first byte with two bits that are 3, which is no code.

    packed (R, N) -> r (), c (); None if there is no such byte
    """
    threes = packed & (packed >> 1) & 0b01010101  # where both bits of a pair are set
    if not threes.any():
        return None
    r, c = np.argwhere(threes)[0]
    return int(r), int(c)
