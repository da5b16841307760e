"""Random numbers that any language can draw, so that large inputs need no file.

A linear congruential generator: the next number is a multiple of the last one plus a
constant, in 32 bits, and only the upper bits are used. It is no good generator, but a
good one is not needed: a port must be able to write it down in three lines, in
JavaScript, Rust or Verilog.

Notes
-----
::

    s = (1664525 * s + 1013904223) mod 2**32        from s = seed; an s for each element

    codes     the byte s >> 24, read as int8: -128 to 127
    packed    v = (s >> 16) * 81 >> 16, 0 to 80: its four base-3 digits, lowest first,
              at bits 0-1, 2-3, 4-5, 6-7 of a byte; so no code is 3
    floats    (s >> 8) / 2**23 - 1 as float32: from -1 to 1, exact
    bfloats   ((s >> 24) - 128) / 128, the 16 bits of a bfloat16

References
----------
Press et al., Numerical Recipes, 1992, section 7.1, "An Even Quicker Generator".

Examples
--------
>>> states(0, 3)
array([1013904223, 1196435762, 3519870697], dtype=uint32)
>>> draw("codes", 0, (1, 3))
array([[ 60,  71, -47]], dtype=int8)

The first number divided by 2**16 is 15470; 15470 * 81 / 2**16 is 19, 201 in base 3.

>>> f"{draw('packed', 0, (1,))[0]:08b}"
'00100001'
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.arrays import F32, I8, U8, U16

MULTIPLIER, INCREMENT = 1664525, 1013904223


def states(seed: int, n: int) -> NDArray[np.uint32]:
    """The first so many numbers of the generator: a**k * seed + c * (1 + a + ...)."""
    powers = np.cumprod(np.full(n, MULTIPLIER, np.uint32), dtype=np.uint32)
    sums = np.cumsum(np.append(np.uint32(1), powers[:-1]), dtype=np.uint32)
    return powers * np.uint32(seed) + sums * np.uint32(INCREMENT)


def codes(s: NDArray[np.uint32]) -> I8:
    """All int8 numbers."""
    return (s >> 24).astype(np.uint8).view(np.int8)


def packed(s: NDArray[np.uint32]) -> U8:
    """Bytes of four ternary codes."""
    v = (s >> 16) * 81 >> 16
    digits = [v // 3**place % 3 << 2 * place for place in range(4)]
    return np.bitwise_or.reduce(digits).astype(np.uint8)


def floats(s: NDArray[np.uint32]) -> F32:
    """Numbers from -1 to 1."""
    return (s >> 8).astype(np.float32) / np.float32(2**23) - np.float32(1)


def bfloats(s: NDArray[np.uint32]) -> U16:
    """The bits of bfloat16 numbers from -1 to 1."""
    values = (s >> 24).astype(np.float32) / np.float32(128) - np.float32(1)
    return (values.view(np.uint32) >> 16).astype(np.uint16)


KINDS: dict[str, Callable[[NDArray[np.uint32]], NDArray[Any]]] = {
    "codes": codes,
    "packed": packed,
    "floats": floats,
    "bfloats": bfloats,
}


def draw(kind: str, seed: int, shape: tuple[int, ...]) -> NDArray[Any]:
    """An array of one of the kinds."""
    return KINDS[kind](states(seed, math.prod(shape))).reshape(shape)
