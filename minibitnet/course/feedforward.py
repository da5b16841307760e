"""Exercises of notebook 7, what squaring does to ReLU."""

import math

import numpy as np
from numpy.typing import NDArray

from minibitnet.course.exercise import Exercise
from minibitnet.feedforward import relu2, silu

F32 = NDArray[np.float32]

rng = np.random.default_rng(7)
GATE = np.array([[1.5, -2.0, 0.5, 3.0, 0.0]], np.float32)
UP = np.array([[2.0, 1.0, -4.0, 0.5, 7.0]], np.float32)
GATES, UPS = rng.standard_normal((2, 4, 6), np.float32) * 3


def gated(gate: F32, up: F32) -> F32:
    """The right answer to `check_gated`."""
    return relu2(gate) * up


def gated_by_silu(gate: F32, up: F32) -> F32:
    """The activation of most other models."""
    return silu(gate) * up


def gated_by_relu(gate: F32, up: F32) -> F32:
    """The square forgotten."""
    return np.maximum(gate, 0) * up


def gated_by_gelu(gate: F32, up: F32) -> F32:
    """The activation of older models."""
    bell = np.vectorize(math.erf)(gate / np.sqrt(2))
    return gate * (1 + bell) / 2 * up


def gated_by_sign(gate: F32, up: F32) -> F32:
    """Negative numbers kept, with their sign."""
    return gate * np.abs(gate) * up


def gated_squared_at_last(gate: F32, up: F32) -> F32:
    """The product squared."""
    return np.square(np.maximum(gate, 0) * up)


def gated_without_up(gate: F32, up: F32) -> F32:
    """Nothing that passes."""
    return relu2(gate)


def gated_added(gate: F32, up: F32) -> F32:
    """A sum."""
    return relu2(gate) + up


def gated_after_product(gate: F32, up: F32) -> F32:
    """The activation on the product."""
    return relu2(gate * up)


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
        "That is GELU. The model was trained with squared ReLU.": gated_by_gelu,
        "You keep negative numbers, with their sign. ReLU makes them 0.": gated_by_sign,
        "You squared the product. Only the gate is squared.": gated_squared_at_last,
        "You forgot up: it is what the gate lets pass.": gated_without_up,
        "You added up. It is multiplied by what the gate says.": gated_added,
        "You took the activation of the product. It is on the gate alone."
        "": gated_after_product,
        "You exchanged gate and up: the activation is on the gate."
        "": gated_the_other_way,
    },
    cases=[(GATE, UP), (-GATE, UP), (GATES, UPS)],
)
