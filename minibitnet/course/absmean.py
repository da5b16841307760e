"""Exercises of notebook 1, how three values stand for a weight."""

import numpy as np
from numpy.typing import NDArray

from minibitnet.absmean import quantize_weights
from minibitnet.course.drawing import draw_cells
from minibitnet.course.exercise import Exercise

F32 = NDArray[np.float32]

TIES = np.array([[0.5, -1.5, 1.0, 1.0], [-0.5, 1.0, -1.0, 1.5]], np.float32)
SKEWED = np.array([[3.0, 1.1, -0.2, 0.4], [0.0, -0.1, 0.2, 0.0]], np.float32)
rng = np.random.default_rng(1)
PLAIN = np.array([[0.9, -0.4, 0.1, -1.3], [0.3, 0.7, -0.8, 0.2]], np.float32)
SMALL = 0.02 * rng.standard_normal((4, 6), np.float32)
LARGE = 7 * rng.standard_normal((3, 5), np.float32) ** 3  # the mean is not the median
RISEN = 3 * rng.standard_normal((3, 5), np.float32) + 2


def codes(W: F32) -> NDArray[np.int8]:
    """The right answer to `check_codes`."""
    return quantize_weights(W)[0]


def codes_by_maximum(W: F32) -> F32:
    """Absmax in place of absmean."""
    return codes_by(np.abs(W).max(), W)


def codes_by(scale: F32 | np.float32, W: F32) -> F32:
    """Another scale."""
    return np.clip(np.rint(W / scale), -1, 1)


def codes_by_median(W: F32) -> F32:
    """The median in place of the mean."""
    return codes_by(np.median(np.abs(W)), W)


def codes_by_mean(W: F32) -> F32:
    """The mean with the signs."""
    return codes_by(W.mean(), W)


def codes_by_size(W: F32) -> F32:
    """The root of the mean square."""
    return codes_by(np.sqrt(np.mean(W**2)), W)


def codes_unscaled(W: F32) -> F32:
    """No scale."""
    return codes_by(np.float32(1), W)


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


def codes_half_up(W: F32) -> F32:
    """Ties up."""
    return np.clip(np.floor(W / np.abs(W).mean() + 0.5), -1, 1)


def codes_half_added(W: F32) -> F32:
    """0.5 added, then cut off."""
    return np.clip(np.trunc(W / np.abs(W).mean() + 0.5), -1, 1)


def codes_down(W: F32) -> F32:
    """Rounding down."""
    return np.clip(np.floor(W / np.abs(W).mean()), -1, 1)


def codes_by_row(W: F32) -> F32:
    """A scale for each row."""
    return codes_by(np.abs(W).mean(axis=1, keepdims=True), W)


def codes_by_column(W: F32) -> F32:
    """A scale for each column."""
    return codes_by(np.abs(W).mean(axis=0), W)


def codes_unrounded(W: F32) -> F32:
    """Numbers between the codes."""
    return np.clip(W / np.abs(W).mean(), -1, 1)


def codes_unsigned(W: F32) -> NDArray[np.uint8]:
    """No minus."""
    return codes(W).astype(np.uint8)


def codes_times_scale(W: F32) -> F32:
    """What the codes stand for."""
    return codes(W) * np.abs(W).mean()


def codes_not_clipped(W: F32) -> F32:
    """Codes beyond one."""
    return np.rint(W / np.abs(W).mean())


check_scale = Exercise(
    right=0.6,
    mistakes={
        "That is the largest weight: absmax, which is for activations.": 1.2,
        "That is the mean with the signs. Take absolute values first.": -0.3,
        "That is the median, the middle one. The mean is the sum divided by how many "
        "there are.": 0.5,
        "That is the root of the mean square. Take the mean of the absolute values."
        "": 0.5**0.5,
        "That is the sum of the absolute values. Divide by how many there are.": 2.4,
    },
)
check_codes = Exercise(
    right=codes,
    mistakes={
        "You divide by the largest weight. Absmean divides by the mean of the "
        "absolute values; one outlier would make nearly all codes 0.": codes_by_maximum,
        "You divide by the median. Half a matrix may be near zero; absmean is the mean."
        "": codes_by_median,
        "You take the mean with the signs. Take absolute values first.": codes_by_mean,
        "You divide by the root of the mean square. Take the mean of the absolute "
        "values.": codes_by_size,
        "There is no scale. Divide by the mean of the absolute values first."
        "": codes_unscaled,
        "You take the sign, so a weight becomes 0 only if it is 0. Weights that are "
        "small beside the scale become 0, too.": codes_by_sign,
        "You cut the fraction off. Round to the nearest: 0.7 becomes 1.": codes_cut_off,
        "You round halves away from zero. np.rint rounds them to the even neighbour, "
        "as PyTorch does: 0.5 becomes 0, 1.5 becomes 2, then 1.": codes_half_away,
        "You round halves up. np.rint rounds them to the even neighbour: -0.5 and 0.5 "
        "become 0.": codes_half_up,
        "You add 0.5 and cut off, which is wrong for negative numbers. Use np.rint."
        "": codes_half_added,
        "You round down. Round to the nearest: -0.2 becomes 0.": codes_down,
        "You have a scale for each row. There is one for the matrix.": codes_by_row,
        "You have a scale for each column. There is one for the matrix."
        "": codes_by_column,
        "You did not round: a code is -1, 0 or 1.": codes_unrounded,
        "uint8 has no -1: it has become 255. Take int8.": codes_unsigned,
        "You multiplied by the scale again. Codes are -1, 0 and 1.": codes_times_scale,
        "Some codes are 2 or more. Clip to -1 and 1.": codes_not_clipped,
    },
    cases=[(PLAIN,), (TIES,), (SKEWED,), (SMALL,), (LARGE,), (RISEN,)],
    draw=draw_cells,
)
