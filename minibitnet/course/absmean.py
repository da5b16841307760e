"""Exercises of notebook 1, how three values stand for a weight."""

import numpy as np
from numpy.typing import NDArray

from minibitnet.absmean import quantize_weights
from minibitnet.course.drawing import draw_cells
from minibitnet.course.exercise import Exercise

F32 = NDArray[np.float32]

TIES = np.array([[0.5, -1.5, 1.0, 1.0], [-0.5, 1.0, -1.0, 1.5]], np.float32)
SKEWED = np.array([[3.0, 1.1, -0.2, 0.4], [0.0, -0.1, 0.2, 0.0]], np.float32)
PLAIN = np.array([[0.9, -0.4, 0.1, -1.3], [0.3, 0.7, -0.8, 0.2]], np.float32)


def codes(W: F32) -> NDArray[np.int8]:
    """The right answer to `check_codes`."""
    return quantize_weights(W)[0]


def codes_by_maximum(W: F32) -> F32:
    """Absmax in place of absmean."""
    return np.clip(np.rint(W / np.abs(W).max()), -1, 1)


def codes_by_sign(W: F32) -> F32:
    """No zeros but for zero."""
    return np.sign(W)


def codes_cut_off(W: F32) -> F32:
    """Rounding towards zero."""
    return np.clip(np.trunc(W / np.abs(W).mean()), -1, 1)


def codes_half_away(W: F32) -> F32:
    """Ties away from zero."""
    scaled = W / np.abs(W).mean()
    return np.clip(np.sign(scaled) * np.floor(np.abs(scaled) + 0.5), -1, 1)


def codes_by_row(W: F32) -> F32:
    """A scale for each row."""
    return np.clip(np.rint(W / np.abs(W).mean(axis=1, keepdims=True)), -1, 1)


def codes_not_clipped(W: F32) -> F32:
    """Codes beyond one."""
    return np.rint(W / np.abs(W).mean())


check_scale = Exercise(
    right=0.6,
    mistakes={
        "That is the largest weight: absmax, which is for activations.": 1.0,
        "That is the mean with the signs. Take absolute values first.": -0.2,
        "That is the sum of the absolute values. Divide by how many there are.": 2.4,
    },
)
check_codes = Exercise(
    right=codes,
    mistakes={
        "You divide by the largest weight. Absmean divides by the mean of the "
        "absolute values; one outlier would make nearly all codes 0.": codes_by_maximum,
        "You take the sign, so a weight becomes 0 only if it is 0. Weights that are "
        "small beside the scale become 0, too.": codes_by_sign,
        "You cut the fraction off. Round to the nearest: 0.7 becomes 1.": codes_cut_off,
        "You round halves away from zero. np.rint rounds them to the even neighbour, "
        "as PyTorch does: 0.5 becomes 0, 1.5 becomes 2, then 1.": codes_half_away,
        "You have a scale for each row. There is one for the matrix.": codes_by_row,
        "Some codes are 2 or more. Clip to -1 and 1.": codes_not_clipped,
    },
    cases=[(PLAIN,), (TIES,), (SKEWED,)],
    draw=draw_cells,
)
