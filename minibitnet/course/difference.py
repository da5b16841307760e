"""How an answer differs from the right one, in a few short lines.

Two arrays that differ mostly differ in one way: every number is twice too large, rows
and columns are swapped, one row is off. That is said first, and then the first number
that differs. Whole arrays are shown only where they are short.

Integers are equal or they differ. Floats are equal if they are near, measured by the
largest of their row: a sum in another order is no mistake.

Examples
--------
>>> right = np.array([[1.0, 2.0, 4.0], [5.0, 3.0, 8.0]])
>>> print(difference(2 * right, right))
Every number is 2 times the right one.
expected [[1. 2. 4.] [5. 3. 8.]]
got [[ 2. 4. 8.] [10. 6. 16.]]
>>> print(difference(np.tile(right, (4, 1))[::-1], np.tile(right, (4, 1))))
The right rows, shifted by one place.
The first at [0, 0]: expected 1, got 5.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
F64 = NDArray[np.float64]
NUMBERS = "iuf"  # kinds of dtypes
SHORT = 8  # so many numbers are shown whole


def as_array(value: Any) -> Array:
    """What somebody answered as an array of its own: of objects, if it has no shape."""
    try:
        return np.array(value)
    except Exception:
        return np.array(None)


def same(found: Array, right: Array) -> bool:
    """Whether two arrays are equal, floats but for their last bits."""
    alike = found.shape == right.shape and found.dtype.kind in NUMBERS
    return alike and bool(equal(found, right).all())


def equal(found: Array, right: Array) -> NDArray[np.bool_]:
    """Where two arrays of one shape are equal, floats but for their last bits."""
    if right.dtype.kind in "iu":
        return np.asarray(found == right)
    with np.errstate(all="ignore"):
        a, b = found.astype(np.float64), right.astype(np.float64)
        largest = np.where(np.isfinite(b), np.abs(b), 0)
        if b.ndim:
            largest = largest.max(axis=-1, keepdims=True, initial=0)
        near = np.abs(a - b) <= 1e-5 * np.abs(b) + 1e-6 * largest
    near &= np.isfinite(b)  # what is near infinity?
    return np.asarray(near | (a == b) | (np.isnan(a) & np.isnan(b)))


def difference(found: Array, right: Array) -> str:
    """How an array of numbers differs from the right one, in at most five lines."""
    if found.shape != right.shape:
        return of_shape(found, right)
    if same(found, right):
        return f"The right numbers, as {found.dtype}. Expected {right.dtype}."
    lines = [kind_of(found, right)]
    small = found.dtype.itemsize < 4 or found.dtype.kind == "u"
    if small and not np.can_cast(right.dtype, found.dtype):
        lines.append(f"Yours are {found.dtype}, the right ones {right.dtype}.")
    if 1 < found.size <= SHORT:
        lines += [f"expected {shown(right)}", f"got {shown(found)}"]
    else:
        place = tuple(map(int, np.argwhere(~equal(found, right))[0]))
        where = f"The first at {list(place)}: " if place else ""
        lines.append(f"{where}expected {right[place]:.7g}, got {found[place]:.7g}.")
    return "\n".join(lines)


def of_value(found: Array, right: Array) -> str:
    """What is said of a wrong value: not enough to copy the right one from it."""
    if found.shape != right.shape:
        kind = f"a list of {right.size} numbers" if right.ndim else "one number"
        return f"Expected {kind}."
    if not np.isfinite(found).all():
        return "It is not finite."
    if right.ndim:
        return f"{np.sum(equal(found, right))} of {right.size} numbers are right."
    if found == -right:
        return "The sign is wrong."
    return "It is too large." if found > right else "It is too small."


def shown(value: Any) -> str:
    """A number or a short array, in a line."""
    return " ".join(np.array2string(np.asarray(value), precision=7).split())


def of_shape(found: Array, right: Array) -> str:
    """What another shape has to do with the right numbers."""
    shapes = f"Expected shape {right.shape}, got {found.shape}."
    if found.ndim == 2 and same(found.T, right):
        return f"Rows and columns are swapped. {shapes}"
    if found.size == right.size and same(found.ravel(), right.ravel()):
        return f"The right numbers, in another shape. {shapes}"
    return shapes


def kind_of(found: Array, right: Array) -> str:
    """In what way numbers differ; the first that fits."""
    with np.errstate(all="ignore"):
        a, b = found.astype(np.float64), right.astype(np.float64)
        if (broken := ~np.isfinite(a) & np.isfinite(b)).any():
            return f"NaN or infinite: {broken.sum()} of {a.size} numbers."
        if a.size == 1:
            return "The sign is wrong." if a == -b else "Another number."
        for kind in KINDS:
            if said := kind(a, b):
                return said
    wrong = f"{np.sum(~equal(found, right))} of {a.size} numbers"
    if np.all(np.abs(a - b) <= 0.01 * np.abs(b).max()):
        return f"Near, but not right: {wrong}. Where is it rounded?"
    return f"Different: {wrong}."


def of_size(a: F64, b: F64) -> str | None:
    """Signs; a factor or an amount that is the same for all."""
    if not a.any():
        return "All numbers are 0."
    if same(a, -b):
        return "Every sign is the wrong one."
    if same(np.abs(a), np.abs(b)):
        return f"The wrong sign: {np.sum(~equal(a, b))} of {a.size} numbers."
    if factor := factor_of(a, b):
        return f"Every number is {factor:.4g} times the right one."
    if same(a - (a - b).flat[0], b):
        return f"Every number is off by {(a - b).flat[0]:+.4g}."
    return None


def factor_of(a: F64, b: F64) -> float | None:
    """What b is multiplied by to make a, if it is one number."""
    at = np.argmax(np.abs(b))
    if np.count_nonzero(b) < 2 or not a.flat[at]:
        return None
    factor = float(a.flat[at] / b.flat[at])
    return factor if same(a, factor * b) else None


def of_axis(a: F64, b: F64) -> str | None:
    """A factor for each row or column; a single row or column that is wrong."""
    if a.ndim != 2 or min(a.shape) < 2:
        return None
    for name, (found, right) in {"row": (a, b), "column": (a.T, b.T)}.items():
        pairs = list(zip(found, right, strict=True))
        wrong = [n for n, pair in enumerate(pairs) if not same(*pair)]
        if len(wrong) == 1:
            return f"Only {name} {wrong[0]} is wrong."
        if all(factor_of(*pair) for pair in pairs):
            return f"Each {name} is off by a factor of its own: which scale is it?"
    return None


def of_integers(a: F64, b: F64) -> str | None:
    """What an overflow leaves of whole numbers."""
    whole = np.array_equal(a, np.rint(a)) and np.array_equal(b, np.rint(b))
    for bits in (32, 16, 8):
        if whole and np.all((a - b) % 2.0**bits == 0):
            return f"Numbers are off by multiples of 2**{bits}: {bits} bits overflow."
    return None


def of_order(a: F64, b: F64) -> str | None:
    """The right numbers at the wrong places."""
    if same(a, b.T):
        return "Rows and columns are swapped."
    for name, x, y in (("rows", a, b), ("columns", a.T, b.T)):
        name = name if a.ndim == 2 else "numbers"
        if len(x) > 2 and (same(x[1:], y[:-1]) or same(x[:-1], y[1:])):
            return f"The right {name}, shifted by one place."
        if a.ndim == 2 and same(in_order(x), in_order(y)):
            return f"The right {name}, in another order."
    if np.unique(b).size > 3 and same(np.sort(a, None), np.sort(b, None)):
        return "The right numbers, in another order."
    return None


def in_order(rows: F64) -> F64:
    """Rows, sorted by their numbers."""
    return rows[np.lexsort(np.round(rows.T, 4))]


KINDS = of_size, of_integers, of_order, of_axis
