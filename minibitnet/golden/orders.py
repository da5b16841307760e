"""The right numbers in another order: swapped, interleaved, transposed, shifted.

A layout that is read otherwise than it was written loses no number. So an array that is
wrong is compared with the right one in every order that a mistake is known to make.

Examples
--------
>>> right = np.arange(8.0)[None] ** 2
>>> name_order(Pair(right, right[:, [0, 4, 1, 5, 2, 6, 3, 7]], real=True))
'interleaved: the halves of each row by turns'
>>> name_order(Pair(right, np.roll(right, 1), real=True))
'shifted: the columns come 1 too late'
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.arrays import F64

CLOSE = 1e-6  # of a row's largest number: floats that count as equal
LEAST = 4  # numbers to a row that can have halves, or are left after a shift
SHOWN = 8  # numbers that are listed, and the furthest shift


@dataclass(frozen=True)
class Pair:
    """The right numbers and a port's, in rows."""

    a: F64  # (T, N)
    b: F64  # (T, N)
    real: bool  # floats; integers are equal or not

    def near(self, x: F64, y: F64, part: float = CLOSE) -> NDArray[np.bool_]:
        """Where numbers count as equal: a part of the row's largest apart.

        x (T, N), y (T, N) -> near (T, N)
        """
        largest = np.abs(x).max(axis=1, keepdims=True)
        allowed = part * largest if self.real else CLOSE
        return np.asarray(np.abs(x - y) <= allowed)

    def same(self, x: F64, y: F64) -> bool:
        """Whether all do.

        x (T, N), y (T, N)
        """
        return bool(self.near(x, y).all())


def name_order(pair: Pair) -> str:
    """Which order it is; "" if none of them."""
    a, b = pair.a, pair.b
    for words, array in reordered(a):
        if pair.same(b, array):
            return words
    for what, x, y in (("rows", a, b), ("columns", a.T, b.T)):
        shift = find_shift(pair, x, y)
        if shift:
            return f"shifted: the {what} come {shift}"
        order = find_order(pair, x, y)
        if order is not None:
            return f"the {what} come in another order: {listed(order)}"
    return ""


def reordered(a: F64) -> Iterator[tuple[str, F64]]:
    """The orders that mistakes are known to make."""
    T, N = a.shape
    if N % 2 == 0 and N >= LEAST:
        halves, pairs = a.reshape(T, 2, N // 2), a.reshape(T, N // 2, 2)
        for words, array in (
            ("the halves of each row are swapped", halves[:, ::-1]),
            ("interleaved: the halves of each row by turns", halves.swapaxes(1, 2)),
            ("parted: even columns first, then the odd ones", pairs.swapaxes(1, 2)),
            ("neighbours are swapped, two by two", pairs[:, :, ::-1]),
        ):
            yield words, array.reshape(T, N)
    if T > 1 and N > 1:
        yield "transposed: columns are read as rows", a.T.reshape(T, N)


def find_order(pair: Pair, a: F64, b: F64) -> NDArray[np.intp] | None:
    """Which row of `a` each row of `b` is, if they are the same rows."""
    by_a, by_b = np.lexsort(a.T), np.lexsort(b.T)
    if len(a) < 2 or not pair.same(a[by_a], b[by_b]):
        return None
    order = np.empty(len(a), np.intp)
    order[by_b] = by_a
    return order


def find_shift(pair: Pair, a: F64, b: F64) -> str:
    """By how many rows the rows are moved; "" if they are not."""
    for by in range(1, min(len(a) - 2, SHOWN) + 1):
        if a[by:].size >= LEAST and pair.same(b[by:], a[:-by]):
            return f"{by} too late"
        if a[by:].size >= LEAST and pair.same(b[:-by], a[by:]):
            return f"{by} too early"
    return ""


def listed(numbers: NDArray[Any]) -> str:
    """The first few of them."""
    text = ", ".join(f"{n:.7g}" for n in numbers[:SHOWN].tolist())
    return text + (", ..." if len(numbers) > SHOWN else "")
