"""The head: logits from a matrix of 16-bit numbers, used in place, without a copy.

The head of 2B4T has 128,256 rows and is not ternary: at 657 MB it is more than all
ternary matrices together, and as float32 it would be twice that. So it stays bfloat16,
and a block of rows is widened, multiplied and forgotten, in a space that stays in a
core's cache. Only the last token of a prompt is multiplied by it.

Notes
-----
Logits are summed in float64 and rounded once, so that they are the same in whatever
order a machine adds. That takes twice as long as summing in float32, for 128,256 rows
of which one is wanted. So `project_one` sums in float32 first. Such a sum, in any
order, is off by less than ::

    bound = 1.1 * (N + 2) * 2**-24 * |x| * |longest row|     |.|: Euclidean length

since each of N additions adds at most 2**-24 of the sum of magnitudes, which is at most
``|x| * |row|``. A row whose sum is two bounds below the largest cannot win. The others,
a handful, are summed again in float64. So the largest logit, and all near it, are
exact, and the most likely token is the one of the contract. (The 2 covers the rounding
of the result; 1.1 that of the lengths, for N up to 2**19.)

References
----------
Higham, Accuracy and Stability of Numerical Algorithms, 2002, section 3.1 (the bound).

Examples
--------
>>> E = bf16.narrow(np.array([[1, 0], [0, 1], [0.5, -3]], np.float32))
>>> project(np.array([[2, 1]], np.float32), E)
array([[ 2.,  1., -2.]], dtype=float32)
>>> project_one(np.array([2, 1], np.float32), E, longest_row(E))
array([ 2.,  1., -2.], dtype=float32)
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from minibitnet import bf16
from minibitnet.arrays import F16, F32, I32, U16
from minibitnet.kernels.threads import split

WORTH = 2**19  # weights that are worth a thread
BLOCK = 2**18  # numbers widened at a time, to 2 MB of float64
ROWS = 512  # widened at a time for a sum in float32
KEPT = np.int32(-0x70002000)  # sign, exponent and fraction of a widened float16


@dataclass(frozen=True)
class Head:
    """The matrix that makes the logits, (M, N), and how to multiply by it."""

    bits: U16 | F16 | F32

    def all(self, x: F32) -> F32:
        """The logits of every token: x (T, N) -> logits (T, M)."""
        return project(x, self.bits)

    def one(self, x: F32) -> F32:
        """The logits of one token: x (N,) -> logits (M,)."""
        return project_one(x, self.bits, self.longest)

    @cached_property
    def longest(self) -> float:
        """The length of the longest row, by which errors are bounded."""
        return longest_row(self.bits)


def project(x: F32, bits: U16 | F16 | F32) -> F32:
    """Every row's dot product with every token, summed in float64.

    x (T, N), bits (M, N) -> logits (T, M)
    """
    M, N = bits.shape
    logits = np.empty((len(x), M), np.float32)
    wide = x.astype(np.float64)
    step = -(-BLOCK // N)

    def work(first: int, last: int) -> None:
        for start in range(first, last, step):
            block = slice(start, min(start + step, last))
            rows = bf16.widen(bits[block]).astype(np.float64)
            logits[:, block] = wide @ rows.T  # rounded here, once

    split(work, M, WORTH // N)
    return logits


def project_one(x: F32, bits: U16 | F16 | F32, longest: float) -> F32:
    """The same for one token, exact where the logit can be the largest.

    x (N,), bits (M, N) -> logits (M,); `longest` is from `longest_row`
    """
    M, N = bits.shape
    logits = np.empty(M, np.float32)

    def work(first: int, last: int) -> None:
        space = np.empty((ROWS, N), np.uint32)  # used again, so it stays in the cache
        for start in range(first, last, ROWS):
            block = slice(start, min(start + ROWS, last))
            rows = widen_into(space, bits[block])
            np.matmul(rows, x, out=logits[block])

    split(work, M, WORTH // N)
    bound = 1.1 * (N + 2) * 2.0**-24 * np.linalg.norm(x.astype(np.float64)) * longest
    near = np.flatnonzero(logits >= logits.max() - 2 * bound)
    logits[near] = project(x[None], bits[near])[0]
    return logits


def longest_row(bits: U16 | F16 | F32) -> float:
    """The largest Euclidean length of a row: bits (M, N) -> length ()."""
    M, N = bits.shape

    def work(first: int, last: int) -> float:
        space, squares = np.empty((ROWS, N), np.uint32), 0.0
        for start in range(first, last, ROWS):
            rows = widen_into(space, bits[start : min(start + ROWS, last)])
            squares = max(squares, float(np.einsum("mn,mn->m", rows, rows).max()))
        return squares

    return float(np.sqrt(max(split(work, M, WORTH // N))))


def widen_into(space: NDArray[np.uint32], bits: U16 | F16 | F32) -> F32:
    """`bf16.widen` in memory that is there already: bits (r, N) -> rows (r, N)."""
    if bits.dtype == np.float32:
        return np.asarray(bits, np.float32)
    if bits.dtype == np.float16:
        halves = np.asarray(bits, np.float16)
        return widen_half(space[: len(bits)].view(np.int32), halves)
    rows = space[: len(bits)]
    rows[...] = bits
    rows <<= 16
    return rows.view(np.float32)


def widen_half(rows: I32, halves: F16) -> F32:
    """Finite float16 as float32, exactly, and in less time than NumPy takes for it.

    rows (r, N), halves (r, N) -> wide (r, N); `rows` is the memory of `wide`

    Sign, exponent and fraction move to where a float32 has them. There the same bits
    of the exponent stand for a number 2**112 times as small.
    """
    rows[...] = halves.view(np.int16)  # the sign is copied into all bits above
    rows <<= 13
    rows &= KEPT
    wide = rows.view(np.float32)
    wide *= np.float32(2.0**112)
    return wide
