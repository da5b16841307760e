"""Patterns: what kind of difference two arrays have, in plain words.

A port's array is wrong. If all of its numbers are twice the right ones, or the rows
come in another order, or only one head differs, that says more than any number. So the
usual kinds of mistake are tried one after another, and the first one that explains
*every* number of the array is named. What is not explained is not named.

Notes
-----
Tried in this order::

    dtype, shape (transposed, or another), order of bytes, NaN, infinity
    the right floats rounded to bfloat16 or float16, or cut off
    almost 1: a factor for each row that last bits do not explain
    last bits: floats a few parts in a million of the row's largest apart
    wrapped or saturated at int8 or int16
    zeros, sign, a constant factor, a factor for each row
    one too high or too low everywhere; integers one off; only at ties
    halves swapped, interleaved, pairs parted; transposed
    rows or columns in another order; shifted
    only some rows (every n-th), one head, a run of columns

Integers are equal or not; floats count as equal here if they are a millionth of the
row's largest apart, so that a pattern is seen through other last bits. An array that
says too little (fewer than four different numbers) has no order to be recognized by.

Examples
--------
>>> right = np.arange(12, dtype=np.float32).reshape(3, 4) ** 2
>>> name_pattern(right, 2 * right)
'a constant factor: 2 times the right numbers'
>>> name_pattern(right, right[:, [2, 3, 0, 1]])
'the halves of each row are swapped'
>>> name_pattern(right, right[[0, 2, 1]])
'the rows come in another order: 0, 2, 1'
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet import bf16
from minibitnet.arrays import F32, F64
from minibitnet.golden.orders import SHOWN, Pair, listed, name_order

Array = NDArray[Any]
LAST_BITS = 1e-5  # of a row's largest number: another order of adding, another exp
FLOAT32 = 2.0**-24  # of a number: what rounding once changes it by, at most
TELLING = 4  # different numbers that an array must have to show a pattern


def name_pattern(
    right: Array, port: Array, ties: NDArray[np.bool_] | None = None, heads: int = 0
) -> str:
    """What kind of difference it is; "" if none is known.

    Parameters
    ----------
    right, port : ndarray
        What should have come out, and what did.
    ties : ndarray of bool, optional
        Where the right number came from a tie of rounding.
    heads : int
        How many heads a row is made of, if it is made of heads.
    """
    if (right.dtype, right.shape) != (port.dtype, port.shape):
        return name_kind(right, port)
    if np.array_equal(right, port, equal_nan=right.dtype.kind == "f"):
        return ""
    if right.tobytes() == port.byteswap().tobytes():
        return "the bytes of each number come in the other order (big-endian)"
    if bad := name_not_finite(right, port):
        return bad
    finite = np.isfinite(right).all() and np.isfinite(port).all()
    if not finite:
        return ""
    heads = right.shape[1] if right.ndim == 3 else heads
    real = right.dtype.kind == "f"
    found = patterns(Pair(widen(right), widen(port), real), ties, heads)
    return next(filter(None, found), "")


def widen(array: Array) -> F64:
    """As float64 with rows: one number is a row of one, heads are laid end to end.

    array (...) -> wide (T, N)
    """
    wide = array.astype(np.float64)
    return wide.reshape(len(wide), -1) if wide.ndim > 1 else wide.reshape(1, -1)


def patterns(pair: Pair, ties: NDArray[np.bool_] | None, heads: int) -> Iterator[str]:
    """Each pattern's words, or "", in the order of the table."""
    differs = ~pair.near(pair.a, pair.b)
    yield from near_patterns(pair)
    if not pair.real:
        yield name_narrow(pair.a, pair.b)
    if ties is not None and not (differs.reshape(ties.shape) & ~ties).any():
        yield "only at ties: halves are rounded otherwise than to the even one"
    yield "" if pair.b.any() else "all zeros, as memory that nobody has written to"
    yield name_factor(pair)
    if not pair.real:
        yield name_off_by_one(pair.a, pair.b)
    if len(np.unique(pair.a)) >= TELLING:
        yield name_order(pair)
    yield name_region(differs, heads)


def name_mix_up(name: str, port: Array, right: Mapping[str, Array]) -> str:
    """Of which other stage these are the very numbers; "" if of none.

    A layer too early, or queries for keys: the array is right, its name is not.

    Examples
    --------
    >>> right = {"q": np.arange(6).reshape(2, 3), "k": np.arange(6, 12).reshape(2, 3)}
    >>> name_mix_up("q", right["k"], right)
    'the right numbers of k'
    """
    if len(np.unique(port)) < TELLING:
        return ""
    for other, array in right.items():
        alike = (array.dtype, array.shape) == (port.dtype, port.shape)
        if other != name and alike and np.array_equal(array, port):
            return f"the right numbers of {other}"
    return ""


def name_halved(a: F32, b: F64) -> str:
    """Floats of half the bits."""
    with np.errstate(over="ignore"):  # to infinity, which is what float16 does
        half = a.astype(np.float16)
    cut = (a.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    for words, array in (
        ("rounded to float16", half),
        ("rounded to bfloat16", bf16.widen(bf16.narrow(a))),
        ("cut off to bfloat16", cut),
    ):
        if np.array_equal(b, array):
            return f"the right numbers {words}"
    return ""


def name_slight_factor(a: F64, b: F64) -> str:
    """One factor for each row, so near to 1 that the numbers are almost right."""
    squares = np.square(a).sum(axis=1)
    if not squares.all() or (np.count_nonzero(a, axis=1) < TELLING).any():
        return ""
    factors = (a * b).sum(axis=1) / squares
    largest = np.abs(a).max(axis=1, keepdims=True)
    rest = np.abs(b - factors[:, None] * a) / largest
    if (np.abs(factors - 1) < 4 * FLOAT32).any() or (rest > 2 * FLOAT32).any():
        return ""
    return f"a factor for each row, almost 1: {listed(factors)} times the right numbers"


def near_patterns(pair: Pair) -> Iterator[str]:
    """Of floats that are almost right."""
    if pair.real:
        yield name_halved(pair.a.astype(np.float32), pair.b)
        if pair.near(pair.a, pair.b, LAST_BITS).all():
            yield name_slight_factor(pair.a, pair.b)
            yield "only the last bits: sums in another order or type"


def name_off_by_one(a: F64, b: F64) -> str:
    """Integers that are one too high or too low."""
    differs = a != b
    if (np.abs(a - b) > 1).any():
        return ""
    steps = {*(b - a)[differs].tolist()}
    way = (
        "off by one" if len(steps) > 1 else f"one too {'high' if 1 in steps else 'low'}"
    )
    where = "everywhere" if differs.all() else f"in {differs.sum()} of {a.size}"
    return f"{way} {where}"


def name_kind(right: Array, port: Array) -> str:
    """Another dtype, or another shape: transposed, or the same numbers otherwise."""
    if right.dtype != port.dtype:
        return f"dtype {port.dtype} where {right.dtype} is right"
    text = f"shape {port.shape} where {right.shape} is right"
    if right.shape == port.shape[::-1] and np.array_equal(right, port.T):
        return f"transposed: {text}"
    if right.size == port.size and np.array_equal(right.ravel(), port.ravel()):
        return f"the same numbers in another shape: {text}"
    return text


def name_not_finite(right: Array, port: Array) -> str:
    """NaN and infinity, where the right array has none."""
    for what, is_bad in (("NaN", np.isnan), ("infinity", np.isinf)):
        bad = is_bad(port) & ~is_bad(right)
        if bad.any():
            rows = np.flatnonzero(widen(bad).any(axis=1))
            return (
                f"{what} in {bad.sum()} of {bad.size} numbers, first in row {rows[0]}"
            )
    return ""


def name_narrow(a: F64, b: F64) -> str:
    """Sums that a narrower integer could not hold."""
    for bits in (8, 16):
        low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
        if np.array_equal(b, np.clip(a, low, high)):
            return f"saturated at int{bits}: {low} to {high}"
        if np.array_equal(b, (a - low) % 2**bits + low):
            return f"wrapped at int{bits}, which ends at {high}"
    return ""


def name_factor(pair: Pair) -> str:
    """One factor for all, or one for each row."""
    a, b = pair.a, pair.b
    if pair.same(b, -a):
        return "the sign is the other one everywhere"
    if pair.same(np.abs(a), np.abs(b)):
        return f"the sign alone is wrong, in {((a != b) & (a != 0)).sum()} of {a.size}"
    if np.count_nonzero(a) >= TELLING and pair.same(b, (c := fit(a, b)) * a):
        return f"a constant factor: {c:.7g} times the right numbers"
    if len(a) > 1 and (np.count_nonzero(a, axis=1) >= TELLING).all():
        factors = np.array([fit(x, y) for x, y in zip(a, b, strict=True)])
        if pair.same(b, factors[:, None] * a):
            return f"a factor for each row: {listed(factors)} times the right numbers"
    return ""


def fit(a: F64, b: F64) -> float:
    """The factor that turns one array into the other, judged by its largest number."""
    largest = np.abs(a).argmax()
    return float(b.flat[largest] / a.flat[largest])


def name_region(differs: NDArray[np.bool_], heads: int) -> str:
    """Where the difference is, if it is not everywhere."""
    T, N = differs.shape
    rows = np.flatnonzero(differs.any(axis=1))
    columns = np.flatnonzero(differs.any(axis=0))
    if heads and N % heads == 0 and heads > 1:
        found = np.unique(columns // (N // heads))
        if len(found) < heads:
            return count(found, "head")
    if len(rows) < T:
        step = np.unique(np.diff(rows))
        whole = len(rows) > 2 and len(step) == 1 and step[0] > 1
        if whole and rows[0] < step[0] and rows[-1] + step[0] >= T:
            return f"only every {step[0]}th row, from row {rows[0]}"
        return count(rows, "row")
    if len(columns) < N:
        return count(columns, "column")
    return ""


def count(found: NDArray[np.intp], what: str) -> str:
    """Indices in words: one, a run, or a few; "" if they are scattered."""
    first, last = found[0], found[-1]
    if len(found) == 1:
        return f"only {what} {first}"
    if last - first == len(found) - 1:
        return f"only {what}s {first} to {last}"
    return f"only {what}s {listed(found)}" if len(found) <= SHOWN else ""
