"""Exercises of notebook 17, and the faulty ports that are found in it.

A port is the page, `minibitnet.one_page`, with a bug of `minibitnet.golden.zoo`. (Do
not look before you have looked for the mistakes in the notebook.)
"""

import numpy as np
from numpy.typing import NDArray

from minibitnet.course.exercise import Exercise
from minibitnet.golden.names import IN_A_BLOCK
from minibitnet.golden.zoo import find_bug, mutate

F32 = NDArray[np.float32]


BUGS = {
    "A": find_bug("scale-divides"),
    "B": find_bug("rope-neighbours"),
    "C": find_bug("silu"),
}
CHANGES = {name: (bug.right, bug.wrong) for name, bug in BUGS.items()}
PORTS = {name: mutate(bug) for name, bug in BUGS.items()}
port_d = mutate(find_bug("modulo-heads"))

rng = np.random.default_rng(17)
LOUD = np.array([[1], [1000], [1], [1], [1]], np.float32)
RIGHT = rng.standard_normal((5, 4), np.float32) * LOUD
LAST_BITS = RIGHT * np.float32(1 + 1e-6)
FAINT = LAST_BITS * np.array([[1], [1], [1.1], [1], [9]], np.float32)
LESS = LAST_BITS - np.array([[0], [0], [0], [4], [8]], np.float32)
TINY = np.where(np.arange(20).reshape(5, 4) == 10, np.float32(1e-6), RIGHT)
TINY_TWICE = np.where(TINY == np.float32(1e-6), np.float32(2e-6), LAST_BITS)
NEGATIVE = -np.abs(RIGHT)
ONE = np.where(np.arange(20).reshape(5, 4) == 13, RIGHT * np.float32(1.0002), RIGHT)
BROKEN = np.where(np.arange(5)[:, None] >= 2, np.float32(np.nan), LAST_BITS)
TWO = np.isin(np.arange(20).reshape(5, 4), (6, 13))
BROKEN_TWICE = np.where(TWO, np.float32(np.nan), LESS)
# At the tolerance is not above it; in float32, where 1/4 is no rounding
EDGE = np.array([[4, 0, -1], [0, -8, 2], [1, 1, 1]], np.float32)
AT_EDGE = EDGE + np.array([[-1, 0, 0], [0, 2, 0], [0, 0, 0.5]], np.float32)
PAST_EDGE = EDGE + np.array([[1.2, 0, 0], [0, 0, 0], [1, 1, 1]], np.float32)
LOUD_OFF = LAST_BITS * np.array([[1], [1.001], [1], [1], [2]], np.float32)


def first(right: F32, port: F32, tolerance: float) -> int:
    """The right answer to `check_first`."""
    for n, (a, b) in enumerate(zip(right, port, strict=True)):
        if not np.abs(a - b).max() <= tolerance * np.abs(a).max():
            return n
    return -1


def _first(far: NDArray[np.bool_]) -> int:
    return int(far.argmax()) if far.any() else -1


def _largest(stages: F32) -> F32:
    return np.abs(stages).max(axis=1)


def first_absolute(right: F32, port: F32, tolerance: float) -> int:
    """The tolerance not relative to the size of the stage."""
    return _first(_largest(right - port) > tolerance)


def first_absolute_with_nan(right: F32, port: F32, tolerance: float) -> int:
    """The same, but NaN is seen."""
    return _first(~(_largest(right - port) <= tolerance))


def first_of_means(right: F32, port: F32, tolerance: float) -> int:
    """The mean of the differences."""
    mean = np.abs(port - right).mean(axis=1)
    return _first(~(mean <= tolerance * _largest(right)))


def first_beside_maximum(right: F32, port: F32, tolerance: float) -> int:
    """The largest number, which may be small where all are negative."""
    return _first(~(_largest(port - right) <= tolerance * right.max(axis=1)))


def first_each(right: F32, port: F32, tolerance: float) -> int:
    """Each number beside itself, so that tiny ones are looked at too closely."""
    return _first((~(np.abs(port - right) <= tolerance * np.abs(right))).any(axis=1))


def first_signed(right: F32, port: F32, tolerance: float) -> int:
    """Differences below zero not seen."""
    return _first(~((port - right).max(axis=1) <= tolerance * _largest(right)))


def first_without_nan(right: F32, port: F32, tolerance: float) -> int:
    """A comparison that NaN passes."""
    return _first(_largest(port - right) > tolerance * _largest(right))


def first_past_nan(right: F32, port: F32, tolerance: float) -> int:
    """The largest difference of those that are numbers."""
    sizes = np.where(np.isnan(port), 0, np.abs(port - right)).max(axis=1)
    return _first(sizes > tolerance * _largest(right))


def first_past_some_nan(right: F32, port: F32, tolerance: float) -> int:
    """The same, but where all are NaN."""
    sizes = np.nanmax(np.abs(port - right), axis=1)
    return _first(~(sizes <= tolerance * _largest(right)))


def first_beside_port(right: F32, port: F32, tolerance: float) -> int:
    """By the numbers of the port, which may be wrong."""
    return first(port, right, tolerance)


def first_beside_square(right: F32, port: F32, tolerance: float) -> int:
    """By the largest square."""
    squares = np.square(right).max(axis=1)
    return _first(~(_largest(port - right) <= tolerance * squares))


def first_of_all_numbers(right: F32, port: F32, tolerance: float) -> int:
    """The largest of all stages for each."""
    return _first(~(_largest(port - right) <= tolerance * np.abs(right).max()))


def last(right: F32, port: F32, tolerance: float) -> int:
    """The last in place of the first."""
    n = first(right[::-1], port[::-1], tolerance)
    return n if n == -1 else len(right) - 1 - n


def first_of_any(right: F32, port: F32, tolerance: float) -> int:
    """The first, even where no stage is wrong."""
    return max(first(right, port, tolerance), 0)


def first_counted_from_one(right: F32, port: F32, tolerance: float) -> int:
    """Stages counted from one."""
    n = first(right, port, tolerance)
    return n if n == -1 else n + 1


def largest(right: F32, port: F32, tolerance: float) -> int:
    """The largest difference in place of the first."""
    if first(right, port, tolerance) == -1:
        return -1
    return int(np.argmax(_largest(port - right)))


def first_exact(right: F32, port: F32, tolerance: float) -> int:
    """No tolerance at all."""
    return first(right, port, 0)


_names = ["embed", *(stage.name for stage in IN_A_BLOCK)]
_logits = 1 + 6 * len(IN_A_BLOCK) + 1  # behind six blocks and final_norm
check_scale = Exercise(
    right=2.0,
    mistakes={
        "That is the ratio of the outputs. The port's scale is the right one times it."
        "": 4.0,
        "The port's output is larger, so its scale is, too.": 0.125,
        "With the right scale it would have the right output.": 0.5,
    },
)
check_first = Exercise(
    right=first,
    mistakes={
        "The tolerance is relative to the largest number of the stage: some stages are "
        "loud.": (first_absolute, first_absolute_with_nan),
        "That is the mean of the differences. One number far off is enough."
        "": first_of_means,
        "The largest number of a stage is meant without its sign."
        "": first_beside_maximum,
        "You compare each number with itself. Tiny ones differ by much and do not "
        "matter: the measure is the largest of the stage.": first_each,
        "A difference may be below zero, too.": first_signed,
        "NaN passes your comparison: it is neither above nor below. Ask whether the "
        "difference is small, and turn that round.": first_without_nan,
        "nanmax passes over NaN, and Python's max may. A NaN is as wrong as can be.": (
            first_past_nan,
            first_past_some_nan,
        ),
        "You measure by the port's numbers, which may be wrong. Take the right ones."
        "": first_beside_port,
        "You measure by the largest square. Take the largest absolute value."
        "": first_beside_square,
        "You measure by the largest of all stages. Each has its own measure."
        "": first_of_all_numbers,
        "That is the last wrong stage. Look for the first.": last,
        "Where no stage is wrong, return -1. argmax of nothing is 0.": first_of_any,
        "You count stages from one. The first is 0.": first_counted_from_one,
        "That is the largest difference. Look for the first: what comes after is "
        "wrong anyway.": largest,
        "Last bits differ where a port adds in another precision. That is what the "
        "tolerance is for.": first_exact,
    },
    cases=[
        (RIGHT, LAST_BITS, 1e-4),
        (RIGHT, FAINT, 1e-4),
        (RIGHT, LESS, 1e-4),
        (RIGHT, BROKEN, 1e-4),
        (TINY, TINY_TWICE, 1e-4),
        (NEGATIVE, NEGATIVE * np.float32(1 + 1e-6), 1e-4),
        (RIGHT, ONE, 1e-4),
        (RIGHT, BROKEN_TWICE, 1e-4),
        (EDGE, AT_EDGE, 0.25),
        (EDGE, PAST_EDGE, 0.25),
        (RIGHT, LOUD_OFF, 1e-4),
    ],
)
check_port_d = Exercise(
    right=_names.index("attn_weights"),
    mistakes={
        "That is a stage too late: attn is made of attn_weights.": _names.index("attn"),
        "The turned queries are right. Go on.": _names.index("q.rope"),
        "The turned keys are right. Go on. (Or did you count within the block? In "
        "list(stages) embed stands before it.)": _names.index("k.rope"),
        "That is the logits: everything before them may be wrong, too.": _logits,
    },
)
