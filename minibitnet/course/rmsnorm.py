"""Exercises of notebook 6, why tokens are brought to the same size."""

import numpy as np
from numpy.typing import NDArray

from minibitnet import rmsnorm
from minibitnet.course.exercise import Exercise

F32 = NDArray[np.float32]

rng = np.random.default_rng(6)
X = np.array([[1.0, 7.0, 5.0, 5.0], [0.1, -0.3, 0.2, 0.4]], np.float32)
GAIN = np.array([1.0, 0.5, 2.0, -1.0], np.float32)
LOUDNESS = np.array([[0.003], [1], [300]], np.float32)
TOKENS = (rng.standard_normal((3, 8), np.float32) + np.float32(0.7)) * LOUDNESS
GAINS = rng.standard_normal(8, np.float32)


def norm(x: F32, gain: F32, eps: float) -> F32:
    """The right answer to `check_norm`."""
    return rmsnorm.rms_norm(x, gain, float(eps))


def norm_of_differences(x: F32, gain: F32, eps: float) -> F32:
    """The mean taken off, as LayerNorm does."""
    return norm(x - x.mean(axis=1, keepdims=True), gain, eps)


def norm_eps_outside(x: F32, gain: F32, eps: float) -> F32:
    """Eps added to the root."""
    return x / (np.sqrt(np.square(x).mean(axis=1, keepdims=True)) + eps) * gain


def norm_of_length(x: F32, gain: F32, eps: float) -> F32:
    """A sum in place of a mean."""
    return x / np.sqrt(np.square(x).sum(axis=1, keepdims=True) + eps) * gain


def norm_by_deviation(x: F32, gain: F32, eps: float) -> F32:
    """The mean taken off the size only."""
    return x / np.sqrt(x.var(axis=1, keepdims=True) + eps) * gain


def norm_without_root(x: F32, gain: F32, eps: float) -> F32:
    """Divided by the mean square."""
    return x / (np.square(x).mean(axis=1, keepdims=True) + eps) * gain


def norm_without_square(x: F32, gain: F32, eps: float) -> F32:
    """Another size."""
    return x / (np.abs(x).mean(axis=1, keepdims=True) + eps) * gain


def norm_without_eps(x: F32, gain: F32, eps: float) -> F32:
    """Eps forgotten."""
    return norm(x, gain, 0)


def norm_of_usual_eps(x: F32, gain: F32, eps: float) -> F32:
    """The eps of 2B4T, whatever is asked for."""
    return norm(x, gain, 1e-5)


def norm_of_columns(x: F32, gain: F32, eps: float) -> F32:
    """A size for each coordinate."""
    return x / np.sqrt(np.square(x).mean(axis=0) + eps) * gain


def norm_with_gain_of_one(x: F32, gain: F32, eps: float) -> F32:
    """One added to the gain."""
    return norm(x, gain + 1, eps)


def norm_divided_by_gain(x: F32, gain: F32, eps: float) -> F32:
    """The gain on the wrong side."""
    return norm(x, np.float32(1) / gain, eps)


def norm_without_gain(x: F32, gain: F32, eps: float) -> F32:
    """The gain forgotten."""
    return norm(x, np.ones_like(gain), eps)


def norm_of_all_tokens(x: F32, gain: F32, eps: float) -> F32:
    """One size for all tokens."""
    return x / np.sqrt(np.square(x).mean() + eps) * gain


check_size = Exercise(
    right=3.0,
    mistakes={
        "That is the mean square. Take the root.": 9.0,
        "That is the length, the root of the sum. Take the mean before the root.": 6.0,
        "That is the mean of the absolute values, which is another size.": 2.5,
    },
)
check_norm = Exercise(
    right=norm,
    mistakes={
        "You take the mean off first. That is LayerNorm; RMSNorm does not."
        "": norm_of_differences,
        "You add eps outside the root. It goes inside: sqrt(mean + eps)."
        "": norm_eps_outside,
        "You divide by the standard deviation, which takes the mean off. RMSNorm does "
        "not: mean of the squares.": norm_by_deviation,
        "You divide by the mean square. Take the root.": norm_without_root,
        "You take the mean of the absolute values. Square, mean, root."
        "": norm_without_square,
        "You take eps to be 1e-5. It is an argument.": norm_of_usual_eps,
        "You forgot eps, which small tokens feel.": norm_without_eps,
        "You have a size for each column. A row is a token: mean(axis=1, "
        "keepdims=True).": norm_of_columns,
        "You add 1 to the gain. Some models store gain - 1; this one stores the gain."
        "": norm_with_gain_of_one,
        "You divide by the gain. It multiplies.": norm_divided_by_gain,
        "You divide by the length. Take the mean of the squares, not the sum."
        "": norm_of_length,
        "You forgot the gain.": norm_without_gain,
        "You have one size for all tokens. Each row has its own: mean(axis=1, "
        "keepdims=True).": norm_of_all_tokens,
    },
    cases=[(X, GAIN, 1e-5), (X, GAIN, 0.5), (TOKENS, GAINS, 1e-5)],
)
