"""Exercises of notebook 2, what eight bits keep of an activation."""

import numpy as np
from numpy.typing import NDArray

from minibitnet.absmax import SMALLEST_MAXIMUM, quantize_activations
from minibitnet.course.drawing import draw_cells
from minibitnet.course.exercise import Exercise

F32 = NDArray[np.float32]

TWO_SIZES = np.array([[0.5, -1.0, 0.25, 0.1], [5.0, 0.1, -2.5, 1.0]], np.float32)
ZEROS = np.array([[0.0, 0.0, 0.0], [1.0, -1.0, 0.3]], np.float32)
TIES = np.array([[127.0, 0.5, 1.5, 2.5, -0.5]], np.float32)


def codes(x: F32) -> NDArray[np.int8]:
    """The right answer to `check_codes`."""
    return quantize_activations(x)[0]


def _largest(x: F32) -> F32:
    return np.maximum(np.abs(x).max(axis=1, keepdims=True), SMALLEST_MAXIMUM)


def codes_of_one_scale(x: F32) -> F32:
    """One scale for all tokens."""
    return np.rint(x * (127 / np.maximum(np.abs(x).max(), SMALLEST_MAXIMUM)))


def codes_to_128(x: F32) -> F32:
    """The largest becomes 128."""
    return np.clip(np.rint(x * (128 / _largest(x))), -128, 127)


def codes_cut_off(x: F32) -> F32:
    """Rounding towards zero."""
    return np.trunc(x * (127 / _largest(x)))


def codes_half_away(x: F32) -> F32:
    """Ties away from zero."""
    scaled = x * (127 / _largest(x))
    return np.sign(scaled) * np.floor(np.abs(scaled) + 0.5)


def codes_without_floor(x: F32) -> F32:
    """A token of zeros divides by zero."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.rint(x * (127 / np.abs(x).max(axis=1, keepdims=True)))


check_code = Exercise(
    right=-51,
    mistakes={
        "That is 0.4 of 128. The largest becomes 127.": -51.2,
        "Round it: a code is a whole number.": -50.8,
        "You cut the fraction off. Round to the nearest.": -50,
        "The sign is lost.": 51,
    },
)
check_codes = Exercise(
    right=codes,
    mistakes={
        "You have one scale for all tokens, so a small token keeps few codes. Each row "
        "has its own: max(axis=1, keepdims=True).": codes_of_one_scale,
        "You scale to 128, which an int8 does not hold on the upper side. The largest "
        "becomes 127.": codes_to_128,
        "You cut the fraction off. Round to the nearest.": codes_cut_off,
        "You round halves away from zero. np.rint rounds them to the even neighbour: "
        "0.5 becomes 0, 2.5 becomes 2.": codes_half_away,
        "A token of zeros divides by zero. The maximum is at least 1e-5."
        "": codes_without_floor,
    },
    cases=[(TWO_SIZES,), (ZEROS,), (TIES,)],
    draw=draw_cells,
)
