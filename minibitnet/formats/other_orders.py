"""Two bits in other orders: what ports have written that is no format.

A program that packs for itself alone, or by mistake, puts other four codes into a byte,
or the same in other bits. Such bytes are valid in every layout of two bits, so whoever
wants to know a layout must try these orders, too.

Notes
-----
All take M * N / 4 bytes, with no tail and no scale. Which four share a byte:

``quarters``
    rows r, R + r, 2R + r, 3R + r of a column, as in a checkpoint (R = M / 4)
``rows``
    four rows of a column that follow one another
``columns``
    four neighbours of a row
``blocks_128``, ``blocks_64``
    the quarters of a block of 128 or 64 along a row, as in I2_S

each ``_low`` (the first of them in the lowest bits) or ``_high``; and what is stored is
``code + 1``, or in those named ``_plus_2`` that plus 1, or in those named ``_signed``
the code as a number of two bits, -1 being 3. `ORDERS` has all that are no layout by
themselves.

References
----------
tinygrad/tinygrad#10591 (rows), chrishayuk/larql#156 (columns), m96-chan/0xBitNet (bits)
met in ports; `minibitnet.golden.zoo.weights`.

Examples
--------
The byte 0b10_00_01_10 holds the codes +1, 0, -1, +1, from the lowest bits:

>>> byte = np.array([0b10000110], np.uint8)
>>> ORDERS["columns_low"](byte, 1, 4), ORDERS["columns_high"](byte, 1, 4)
(array([[ 1,  0, -1,  1]], dtype=int8), array([[ 1, -1,  0,  1]], dtype=int8))
>>> ORDERS["rows_low"](byte, 4, 1).T
array([[ 1,  0, -1,  1]], dtype=int8)
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from minibitnet.arrays import I8, U8
from minibitnet.formats.checks import check_multiple, check_size

SHIFTS = {"low": (0, 2, 4, 6), "high": (6, 4, 2, 0)}
# To be added, modulo 4, to get code + 1; and four times the two bits that turn what is
# never stored (3, 0 or 2) into 3
MAPS = {"": (0, 0b00000000), "_plus_2": (3, 0b11111111), "_signed": (1, 0b01010101)}


def quarters(fours: U8, M: int, N: int) -> U8:
    """Rows a quarter of the matrix apart: fours (n, 4) -> stored (M, N)."""
    check_multiple("M", M, 4)
    return fours.reshape(M // 4, N, 4).transpose(2, 0, 1).reshape(M, N)


def rows(fours: U8, M: int, N: int) -> U8:
    """Rows that follow one another: fours (n, 4) -> stored (M, N)."""
    check_multiple("M", M, 4)
    return fours.reshape(M // 4, N, 4).transpose(0, 2, 1).reshape(M, N)


def columns(fours: U8, M: int, N: int) -> U8:
    """Neighbours of a row: fours (n, 4) -> stored (M, N)."""
    check_multiple("N", N, 4)
    return fours.reshape(M, N)


def blocks(fours: U8, M: int, N: int, block: int) -> U8:
    """Quarters of a block along a row: fours (n, 4) -> stored (M, N)."""
    check_multiple("N", N, block)
    return fours.reshape(-1, block // 4, 4).transpose(0, 2, 1).reshape(M, N)


Arrange = Callable[[U8, int, int], U8]
ARRANGEMENTS: dict[str, Arrange] = {
    "quarters": quarters,
    "rows": rows,
    "columns": columns,
    "blocks_128": partial(blocks, block=128),
    "blocks_64": partial(blocks, block=64),
}


def read(data: U8, M: int, N: int, arrangement: str, first: str, stored: str) -> I8:
    """The codes in such an order: data (M * N / 4,) -> w_codes (M, N).

    Raises ValueError if there are two bits that stand for no code.
    """
    check_size(data, M * N // 4)
    plus, turned = MAPS[stored]
    threes = data ^ np.uint8(turned)
    if (threes & threes >> 1 & np.uint8(0b01010101)).any():
        raise ValueError("data must hold three codes, got a fourth")
    fours = (data[:, None] >> np.array(SHIFTS[first], np.uint8)) + np.uint8(plus)
    codes = ARRANGEMENTS[arrangement](fours & np.uint8(3), M, N)
    return codes.astype(np.int8) - np.int8(1)


ORDERS: dict[str, Callable[[U8, int, int], I8]] = {
    f"{arrangement}_{first}{stored}": partial(
        read, arrangement=arrangement, first=first, stored=stored
    )
    for stored in MAPS
    for arrangement in ARRANGEMENTS
    for first in SHIFTS
    if (arrangement, first, stored) != ("quarters", "low", "")  # the checkpoint's own
}
