"""Exercises of notebook 2, what eight bits keep of an activation."""

import numpy as np
from numpy.typing import NDArray

from minibitnet.absmax import SMALLEST_MAXIMUM, quantize_activations
from minibitnet.course.drawing import draw_cells
from minibitnet.course.exercise import Exercise

F32 = NDArray[np.float32]

rng = np.random.default_rng(2)
TWO_SIZES = np.array([[0.5, -1.0, 0.25, 0.1], [5.0, 0.1, -2.5, 1.0]], np.float32)
ZEROS = np.array([[0.0, 0.0, 0.0], [1.0, -1.0, 0.3]], np.float32)
TINY = np.array(
    [[4e-6, -2e-6, 1e-6], [0.0, 3e-7, -9.9646e-6]], np.float32
)  # below 1e-5
TIES = np.array([[127.0, 0.5, 1.5, 2.5, -0.5]], np.float32)
LOUDNESS = np.array([[1], [20], [0.01]], np.float32)
RANDOM = rng.standard_normal((3, 7), np.float32) * LOUDNESS
NEGATIVE = 30 * rng.standard_normal((3, 7), np.float32) - 40


def codes(x: F32) -> NDArray[np.int8]:
    """The right answer to `check_codes`."""
    return quantize_activations(x)[0]


def _largest(x: F32) -> F32:
    return np.maximum(np.abs(x).max(axis=1, keepdims=True), SMALLEST_MAXIMUM)


def codes_by(largest: F32, x: F32, top: int = 127) -> F32:
    """Another maximum."""
    return np.rint(x * (top / np.maximum(largest, SMALLEST_MAXIMUM)))


def codes_of_one_scale(x: F32) -> F32:
    """One scale for all tokens."""
    return codes_by(np.abs(x).max(), x)


def codes_by_column(x: F32) -> F32:
    """A scale for each coordinate."""
    return codes_by(np.abs(x).max(axis=0), x)


def codes_without_sign(x: F32) -> F32:
    """The largest number, which may be small where others are negative."""
    return codes_by(x.max(axis=1, keepdims=True), x)


def codes_by_mean(x: F32) -> F32:
    """Absmean in place of absmax."""
    return codes_by(np.abs(x).mean(axis=1, keepdims=True), x)


def codes_to_one(x: F32) -> F32:
    """The largest becomes 1."""
    return np.rint(x / _largest(x))


def codes_unscaled(x: F32) -> F32:
    """No scale."""
    return np.rint(x)


def codes_unrounded(x: F32) -> F32:
    """Numbers between the codes."""
    return x * (np.float32(127) / _largest(x))


def codes_beyond_127(x: F32) -> F32:
    """The largest becomes 128."""
    return codes_by(_largest(x), x, 128)


def codes_to_128(x: F32) -> F32:
    """The largest becomes 128 and is clipped."""
    return np.clip(codes_beyond_127(x), -128, 127)


def codes_around_128(x: F32) -> NDArray[np.int8]:
    """The largest becomes 128, which an int8 takes for -128."""
    return codes_beyond_127(x).astype(np.int16).astype(np.int8)


def codes_cut_off(x: F32) -> F32:
    """Rounding towards zero."""
    return np.trunc(x * (127 / _largest(x)))


def codes_half_away(x: F32) -> F32:
    """Ties away from zero."""
    scaled = x * (127 / _largest(x))
    return np.sign(scaled) * np.floor(np.abs(scaled) + 0.5)


def codes_half_up(x: F32) -> F32:
    """Ties up."""
    return np.floor(x * (127 / _largest(x)) + 0.5)


def codes_half_added(x: F32) -> F32:
    """0.5 added, then cut off."""
    return np.trunc(x * (127 / _largest(x)) + 0.5)


def codes_down(x: F32) -> F32:
    """Rounding down."""
    return np.floor(x * (127 / _largest(x)))


def codes_without_floor(x: F32) -> F32:
    """A token of zeros divides by zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.rint(x * (127 / np.abs(x).max(axis=1, keepdims=True)))


def codes_of_nothing(x: F32) -> F32:
    """A token of zeros divides by zero, and an int8 takes that for 0."""
    return np.nan_to_num(codes_without_floor(x))


check_code = Exercise(
    right=-108,
    mistakes={
        "That is 0.85 of 128. The largest becomes 127.": (-109, -108.8),
        "Round it: a code is a whole number.": -107.95,
        "You cut the fraction off. Round to the nearest.": -107,
        "The sign is lost.": 108,
    },
)
check_codes = Exercise(
    right=codes,
    mistakes={
        "You have one scale for all tokens, so a small token keeps few codes. Each row "
        "has its own: max(axis=1, keepdims=True).": codes_of_one_scale,
        "You have a scale for each column. Each row is a token and has its own: "
        "max(axis=1, keepdims=True).": codes_by_column,
        "You take the largest without its sign, so a token whose largest is negative "
        "goes beyond 127. Take absolute values first.": codes_without_sign,
        "You divide by the mean. That is absmean, for weights; activations take the "
        "largest.": codes_by_mean,
        "You scale to 1. The largest becomes 127.": codes_to_one,
        "You scale to 128, which an int8 does not hold on the upper side. The largest "
        "becomes 127.": (codes_to_128, codes_beyond_127, codes_around_128),
        "There is no scale. The largest of each token becomes 127.": codes_unscaled,
        "You did not round: a code is a whole number.": codes_unrounded,
        "You add 0.5 and cut off, which is wrong for negative numbers. Use np.rint."
        "": codes_half_added,
        "You round down. Round to the nearest.": codes_down,
        "You round halves up. np.rint rounds them to the even neighbour: 0.5 and -0.5 "
        "become 0.": codes_half_up,
        "You cut the fraction off. Round to the nearest.": codes_cut_off,
        "You round halves away from zero. np.rint rounds them to the even neighbour: "
        "0.5 becomes 0, 2.5 becomes 2.": codes_half_away,
        "A token of zeros divides by zero, and a tiny one becomes loud. The maximum is "
        "at least 1e-5.": (codes_without_floor, codes_of_nothing),
    },
    cases=[(TWO_SIZES,), (ZEROS,), (TIES,), (TINY,), (RANDOM,), (NEGATIVE,)],
    draw=draw_cells,
)
