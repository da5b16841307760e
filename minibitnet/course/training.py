"""Exercises of notebook 16, how one trains weights that cannot move a little."""

import numpy as np
from numpy.typing import NDArray

from minibitnet.absmax import quantize_activations
from minibitnet.absmean import quantize_weights
from minibitnet.course.exercise import Exercise

F32 = NDArray[np.float32]

rng = np.random.default_rng(16)
DY = rng.standard_normal((3, 4), np.float32)
X = 5 * rng.standard_normal((3, 6), np.float32)
MASTERS = rng.standard_normal((4, 6), np.float32)
DY_2 = rng.standard_normal((5, 7), np.float32)
X_2 = rng.standard_normal((5, 9), np.float32)
MASTERS_2 = 20 * rng.standard_normal((7, 9), np.float32)


def dx(dy: F32, W: F32) -> F32:
    """The right answer to `check_dx`."""
    w_codes, w_scale = quantize_weights(W)
    return dy @ (w_codes * w_scale)


def dx_of_masters(dy: F32, W: F32) -> F32:
    """Through weights that the forward pass never saw."""
    return dy @ W


def dx_of_codes(dy: F32, W: F32) -> F32:
    """The scale forgotten."""
    return dy @ quantize_weights(W)[0].astype(np.float32)


def dx_divided(dy: F32, W: F32) -> F32:
    """The scale on the wrong side."""
    w_codes, w_scale = quantize_weights(W)
    return dy @ (w_codes / w_scale).astype(np.float32)


def dx_rounded_apart(dy: F32, W: F32) -> F32:
    """A gradient that is rounded, too."""
    codes, scale = quantize_activations(dx(dy, W))
    return codes * scale


def dx_averaged(dy: F32, W: F32) -> F32:
    """Divided by the number of tokens."""
    return dx(dy, W) / np.float32(len(dy))


def dx_zero(dy: F32, W: F32) -> F32:
    """The true derivative of a staircase."""
    return np.zeros((len(dy), W.shape[1]), np.float32)


def dmasters(dy: F32, x: F32) -> F32:
    """The right answer to `check_dmasters`."""
    x_codes, x_scale = quantize_activations(x)
    return dy.T @ (x_codes * x_scale)


def dmasters_unrounded(dy: F32, x: F32) -> F32:
    """By activations that the forward pass never saw."""
    return dy.T @ x


def dmasters_of_codes(dy: F32, x: F32) -> F32:
    """The scales forgotten."""
    return dy.T @ quantize_activations(x)[0].astype(np.float32)


def dmasters_of_one_scale(dy: F32, x: F32) -> F32:
    """The scale of the first token for all."""
    x_codes, x_scale = quantize_activations(x)
    return dy.T @ (x_codes * x_scale[0])


def dmasters_divided(dy: F32, x: F32) -> F32:
    """The scales on the wrong side."""
    x_codes, x_scale = quantize_activations(x)
    return dy.T @ (x_codes.astype(np.float32) / x_scale)


def dmasters_averaged(dy: F32, x: F32) -> F32:
    """Divided by the number of tokens."""
    return dmasters(dy, x) / np.float32(len(dy))


def dmasters_turned(dy: F32, x: F32) -> F32:
    """Rows and columns swapped."""
    return dmasters(dy, x).T


def dmasters_zero(dy: F32, x: F32) -> F32:
    """The true derivative of a staircase."""
    return np.zeros((dy.shape[1], x.shape[1]), np.float32)


check_steps = Exercise(
    right=6,
    mistakes={
        "After 5 steps it is 0.40, just on the line, and a tie goes to the even code, "
        "0.": 5,
        "The line is at half the scale, not at the scale.": 25,
        "That is the way to 0.5. The code is that of master / scale.": 10,
        "That is the way to 0.5, and one. The code is that of master / scale.": 11,
    },
)
check_dx = Exercise(
    right=dx,
    mistakes={
        "You went back through the masters. The forward pass used the rounded weights."
        "": dx_of_masters,
        "You forgot w_scale.": dx_of_codes,
        "You divided by the number of tokens. Nothing is averaged here.": dx_averaged,
        "You rounded the gradient. Only what goes forward is rounded."
        "": dx_rounded_apart,
        "You divided by w_scale. A scale always multiplies codes.": dx_divided,
        "That is the true derivative, and nothing would learn.": dx_zero,
    },
    cases=[(DY, MASTERS), (DY[:1], MASTERS / 10), (DY_2, MASTERS_2)],
)
check_dmasters = Exercise(
    right=dmasters,
    mistakes={
        "You used x. The forward pass used its codes times their scale."
        "": dmasters_unrounded,
        "You forgot the scales of the tokens.": dmasters_of_codes,
        "You divided by the number of tokens. Their shares add up.": dmasters_averaged,
        "You took one scale for all tokens. Each has its own.": dmasters_of_one_scale,
        "You divided by the scales. A scale always multiplies codes.": dmasters_divided,
        "Rows and columns are swapped: a gradient has the shape of what it is for."
        "": dmasters_turned,
        "That is the true derivative, and nothing would learn.": dmasters_zero,
    },
    cases=[(DY, X), (DY[:1], X[:1]), (DY_2, X_2)],
)
