"""Exercises of notebook 7, what squaring does to ReLU."""

import numpy as np
from numpy.typing import NDArray

from minibitnet.course.exercise import Exercise
from minibitnet.feedforward import relu2, silu

F32 = NDArray[np.float32]

GATE = np.array([[1.5, -2.0, 0.5, 3.0, 0.0]], np.float32)
UP = np.array([[2.0, 1.0, -4.0, 0.5, 7.0]], np.float32)


def gated(gate: F32, up: F32) -> F32:
    """The right answer to `check_gated`."""
    return relu2(gate) * up


def gated_by_silu(gate: F32, up: F32) -> F32:
    """The activation of most other models."""
    return silu(gate) * up


def gated_by_relu(gate: F32, up: F32) -> F32:
    """The square forgotten."""
    return np.maximum(gate, 0) * up


def gated_by_square(gate: F32, up: F32) -> F32:
    """The square of what is negative, too."""
    return np.square(gate) * up


def gated_the_other_way(gate: F32, up: F32) -> F32:
    """Gate and up exchanged."""
    return relu2(up) * gate


check_value = Exercise(
    right=-12.0,
    mistakes={
        "You forgot to square.": -6.0,
        "You squared the product. Only the gate is squared.": 36.0,
        "You let up through the gate, which here closes it: up is negative.": 0.0,
    },
)
check_gated = Exercise(
    right=gated,
    mistakes={
        "That is SiLU. It is near for large numbers, and the text still reads well; "
        "the model was trained with squared ReLU.": gated_by_silu,
        "That is ReLU. Square what it lets through.": gated_by_relu,
        "You square negative numbers, too, and so let them through. First ReLU, then "
        "the square.": gated_by_square,
        "You exchanged gate and up: the activation is on the gate."
        "": gated_the_other_way,
    },
    cases=[(GATE, UP), (-GATE, UP)],
)
