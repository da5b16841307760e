"""Exercises of notebook 14, how one adds many numbers at once."""

import numpy as np
from numpy.typing import NDArray

from minibitnet.course.exercise import Exercise
from minibitnet.kernels.lookup import ways
from minibitnet.kernels.popcount import BITS, to_words

Codes = NDArray[np.int8]
Sums = NDArray[np.int32]
Words = NDArray[np.uint64]

rng = np.random.default_rng(14)


def row_in_planes(N: int) -> tuple[Words, Words, Words]:
    """A random token and a random row: x_planes (8, W), plus (W,), minus (W,)."""
    x_codes = rng.integers(-128, 128, N, np.int8)
    w_codes = rng.integers(-1, 2, N, np.int8)
    bits = x_codes.view(np.uint8) >> np.arange(8, dtype=np.uint8)[:, None] & 1
    plus, minus = to_words(np.stack([w_codes == 1, w_codes == -1]))
    return to_words(bits == 1), plus, minus


def table(x_codes: Codes) -> Sums:
    """The right answer to `check_table`."""
    return x_codes.astype(np.int32) @ ways(len(x_codes)).astype(np.int32)


def table_first_lowest(x_codes: Codes) -> Sums:
    """The first code the lowest digit."""
    return table(x_codes[::-1])


def table_of_digits(x_codes: Codes) -> Sums:
    """The digits 0, 1, 2 taken for weights."""
    return table(x_codes) + x_codes.sum(dtype=np.int32)


def table_negated(x_codes: Codes) -> Sums:
    """Digit 0 taken for +1."""
    return table(x_codes)[::-1]


def table_in_8_bits(x_codes: Codes) -> Codes:
    """Sums that overflow."""
    return table(x_codes).astype(np.int8)


def table_negated_in_8_bits(x_codes: Codes) -> Sums:
    """-(-128) taken for -128."""
    sums = np.zeros(1, np.int32)
    for x in x_codes:
        sums = np.add.outer(sums, np.array([-x, 0, x], np.int32)).ravel()
    return sums


def table_of_signs(x_codes: Codes) -> Sums:
    """No weight that is 0."""
    return table(x_codes)[np.all(ways(len(x_codes)) != 0, axis=0)]


def count(x_planes: Words, plane: Words) -> Sums:
    """The ones that each of eight planes shares with one of the row."""
    return np.bitwise_count(x_planes & plane).sum(axis=1, dtype=np.int32)


def dot(x_planes: Words, plus: Words, minus: Words) -> int:
    """The right answer to `check_dot`."""
    return int(BITS @ (count(x_planes, plus) - count(x_planes, minus)))


def dot_unsigned(x_planes: Words, plus: Words, minus: Words) -> int:
    """The sign worth +128."""
    return int(np.abs(BITS) @ (count(x_planes, plus) - count(x_planes, minus)))


def dot_of_additions(x_planes: Words, plus: Words, minus: Words) -> int:
    """Nothing subtracted."""
    return int(BITS @ count(x_planes, plus))


def dot_upside_down(x_planes: Words, plus: Words, minus: Words) -> int:
    """The highest bit expected first."""
    return dot(x_planes[::-1], plus, minus)


def dot_unweighted(x_planes: Words, plus: Words, minus: Words) -> int:
    """Every plane worth 1."""
    return int((count(x_planes, plus) - count(x_planes, minus)).sum())


def dot_of_small_counts(x_planes: Words, plus: Words, minus: Words) -> int:
    """Counts subtracted as uint8."""
    ones = np.bitwise_count(x_planes & plus) - np.bitwise_count(x_planes & minus)
    return int(BITS @ ones.sum(axis=1, dtype=np.int32))


def dot_of_unsigned_sums(x_planes: Words, plus: Words, minus: Words) -> float:
    """Sums subtracted as uint64."""
    a, b = (np.bitwise_count(x_planes & plane).sum(axis=1) for plane in (plus, minus))
    return float(BITS @ (a - b))


check_look_ups = Exercise(
    right=366,
    mistakes={
        "You rounded down: 365 groups hold 2555 weights, and five are left over.": 365,
        "A look-up is a whole one. The last group is filled up with zeros.": 2560 / 7,
        "That is what the package takes, which fills up a whole chunk of 27 groups. "
        "The row needs fewer.": 378,
        "That is how many entries a table has. How many tables are there?": 2187,
        "You multiplied. One look-up stands for seven weights.": 2560 * 7,
    },
)
check_table = Exercise(
    right=table,
    mistakes={
        "Your first code is the lowest digit. In the package it is the highest."
        "": table_first_lowest,
        "You took the digits 0, 1, 2 for weights. A digit is the weight plus 1."
        "": table_of_digits,
        "Your digit 0 stands for +1. It is the weight -1.": table_negated,
        "Your sums are int8 and overflow. Widen the codes first.": table_in_8_bits,
        "You negate in int8, where -(-128) is -128 again. Widen the codes first."
        "": table_negated_in_8_bits,
        "You have 2**g entries. A weight may be 0 as well: that makes 3**g."
        "": table_of_signs,
    },
    cases=[
        (np.array([5, -3], np.int8),),
        (np.array([100, -120, 7, -128], np.int8),),
        (rng.integers(-128, 128, 5, np.int8),),
        (rng.integers(-128, 128, 5, np.int8),),
    ],
)
check_dot = Exercise(
    right=dot,
    mistakes={
        "You count plane 7 as +128. In two's complement it is worth -128."
        "": dot_unsigned,
        "You left out minus: what it counts is subtracted.": dot_of_additions,
        "You take plane 0 for the sign. It holds the lowest bits, worth 1 each."
        "": dot_upside_down,
        "You count every plane as 1. Plane b is worth 2**b, the last one -128."
        "": dot_unweighted,
        "The sum of bitwise_count is unsigned, too: 1 - 2 is then 2**64 - 1. Make it "
        "int before you subtract.": dot_of_unsigned_sums,
        "np.bitwise_count returns uint8, and 1 - 2 is then 255. Make it a wider "
        "integer before you subtract.": dot_of_small_counts,
    },
    cases=[row_in_planes(N) for N in (2, 200, 200, 64)],
)
