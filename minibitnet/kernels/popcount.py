"""Bit planes: the ternary product by AND and counting ones.

An 8-bit activation is eight bits, each worth a power of two. Take one bit of all
activations, 64 of them to a machine word: a bit plane. The weights make two planes, one
with a bit wherever the weight is +1, one wherever it is -1. AND of an activation plane
and a weight plane leaves a one where both have one, and counting the ones is adding up
that bit of all activations that this row of weights adds (or subtracts). It is how
hardware for few bits is built.

Notes
-----
In two's complement the eighth bit counts for -128::

    x   = sum over b < 7 of 2**b * bit_b(x)  -  128 * bit_7(x)
    acc = sum over b of BITS[b] * (ones(plus & plane_b) - ones(minus & plane_b))

Sixteen ANDs and sixteen counts for 64 weights, whatever their values.

References
----------
Rastegari et al., XNOR-Net, 2016, arXiv 1603.05279, section 3 (one bit each); Umuroglu
et al., BISMO, 2018, arXiv 1806.08862 (several bits as weighted planes).

Examples
--------
5 is 0b101 and -3 is 0b11111101. The weights +1 and -1 ask for 5 - (-3).

>>> from minibitnet.packing import pack
>>> planes = lay_out(pack(np.array([[1, -1]] * 4, np.int8)))
>>> planes.shape, planes[:, 0, 0]
((2, 1, 4), array([1, 2], dtype=uint64))
>>> popcount_matmul(np.array([[5, -3]], np.int8), planes)
array([[8, 8, 8, 8]], dtype=int32)
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from minibitnet.arrays import I8, I32, U8
from minibitnet.kernels.threads import split
from minibitnet.matmul import Multiply
from minibitnet.packing import unpack

Words = NDArray[np.uint64]

WORD = 64
BITS = np.array([1, 2, 4, 8, 16, 32, 64, -128], np.int32)  # the worth of each
WORTH = 2**15  # words that are worth a thread


def prepare(packed: Sequence[U8], rows: Sequence[int]) -> Multiply:
    """A function that multiplies by these matrices, laid out as bit planes."""
    matrices = [(lay_out(p), M) for p, M in zip(packed, rows, strict=True)]
    return lambda x_codes: [popcount_matmul(x_codes, w)[:, :M] for w, M in matrices]


def to_words(bits: NDArray[np.bool_]) -> Words:
    """64 bits to a word, the first lowest; missing bits are zero.

    bits (A, N) -> words (A, ceil(N / 64))
    """
    A, N = bits.shape
    padded = np.zeros((A, -(-N // WORD) * WORD), np.bool_)
    padded[:, :N] = bits
    return np.packbits(padded, axis=1, bitorder="little").view("<u8").astype(np.uint64)


def lay_out(packed: U8) -> Words:
    """Where the weight is +1 and where it is -1, column by column of words.

    packed (R, N) -> planes (2, ceil(N / 64), 4 * R)
    """
    w_codes = unpack(packed)
    return np.stack([to_words(w_codes == sign).T for sign in (+1, -1)])


def popcount_matmul(x_codes: I8, planes: Words) -> I32:
    """The product with every row that the bytes have room for.

    x_codes (T, N), planes (2, W, M) -> acc (T, M)
    """
    sums = [_one_token(x, planes) for x in x_codes]
    return np.array(sums, np.int32).reshape(len(x_codes), planes.shape[2])


def _one_token(x: I8, planes: Words) -> I32:
    """The sums of all rows for one token: x (N,), planes (2, W, M) -> acc (M,)."""
    bits = (x.view(np.uint8) >> np.arange(8, dtype=np.uint8)[:, None]) & 1
    x_planes = to_words(bits == 1)  # (8, W)

    def work(first: int, last: int) -> I32:
        words = slice(first, last)
        return _count(x_planes[:, words], planes[:, words])

    return np.add.reduce(split(work, planes.shape[1], WORTH // planes.shape[2]))


def _count(x_planes: Words, planes: Words) -> I32:
    """What some words add to the product, (M,)."""
    ones = np.zeros((len(BITS), planes.shape[2]), np.int32)  # plus less minus, by bit
    for x_words, plus, minus in zip(x_planes.T, *planes, strict=True):
        ones += np.bitwise_count(x_words[:, None] & plus)
        ones -= np.bitwise_count(x_words[:, None] & minus)
    return BITS @ ones
