"""Atlas: which weights are in which byte, found by looking.

A layout's formula says where a weight goes. So does the layout itself: change one
weight of a matrix of zeros, pack it, and see which byte is another. That needs no
formula, holds for any layout, and draws its map.

Notes
-----
Of a weight that touches several bytes it is the first: TL2 has signs behind its
indices, and where llama.cpp's block of zeros has a scale of 0, any weight changes that,
too.

Examples
--------
In a checkpoint byte 0 has weights of four rows, R = 2 apart; in base 3 five neighbours.

>>> from minibitnet.formats import LAYOUTS
>>> byte_of_each(LAYOUTS["packed"], 8, 1).T
array([[0, 1, 0, 1, 0, 1, 0, 1]])
>>> byte_of_each(LAYOUTS["base3"], 1, 7)
array([[0, 0, 0, 0, 0, 1, 1]])
>>> weights_in(byte_of_each(LAYOUTS["i2_s"], 1, 256), 33)
[(0, 129), (0, 161), (0, 193), (0, 225)]
"""

import numpy as np

from minibitnet.arrays import I64
from minibitnet.formats import Layout


def byte_of_each(layout: Layout, M: int, N: int) -> I64:
    """The byte in which each weight of a matrix of that shape is: (M, N)."""
    codes = np.zeros((M, N), np.int8)
    zeros = layout.pack(codes)
    places = np.empty((M, N), np.int64)
    for place in np.ndindex(M, N):
        codes[place] = 1
        places[place] = np.flatnonzero(layout.pack(codes) != zeros)[0]
        codes[place] = 0
    return places


def weights_in(places: I64, byte: int) -> list[tuple[int, int]]:
    """Row and column of each weight in a byte.

    places (M, N)
    """
    return [(int(m), int(n)) for m, n in np.argwhere(places == byte)]
