"""Exercises of notebook 8, how a token knows its position."""

import numpy as np
from numpy.typing import NDArray

from minibitnet.course.drawing import draw_arrows
from minibitnet.course.exercise import Exercise
from minibitnet.rope import rotate, rotations

F32 = NDArray[np.float32]

rng = np.random.default_rng(8)
X = np.array([1.0, 2.0, -1.0, 0.5, 3.0, -2.0], np.float32)
LONGER = rng.standard_normal(16, np.float32)


def _angles(d: int, position: int, theta: float) -> F32:
    angles = position * theta ** (-np.arange(0, d, 2) / d)
    return angles.astype(np.float32)


def turned(x: F32, position: int, theta: float) -> F32:
    """The right answer to `check_turned`."""
    cos, sin = rotations(np.array([position]), len(x), theta)
    return rotate(x[None, None], cos, sin)[0, 0]


def turned_back(x: F32, position: int, theta: float) -> F32:
    """The other way round."""
    return turned(x, -position, theta)


def turned_neighbours(x: F32, position: int, theta: float) -> F32:
    """Neighbours taken for pairs."""
    angles = _angles(len(x), position, theta)
    a, b = x[0::2], x[1::2]
    cos, sin = np.cos(angles), np.sin(angles)
    return np.stack([a * cos - b * sin, b * cos + a * sin], axis=1).ravel()


def turned_from_one(x: F32, position: int, theta: float) -> F32:
    """Positions counted from one."""
    return turned(x, position + 1, theta)


def turned_alike(x: F32, position: int, theta: float) -> F32:
    """Every pair by the same angle."""
    return turned(x, position, 1.0)


def turned_faster(x: F32, position: int, theta: float) -> F32:
    """Later pairs faster."""
    return turned(x, position, 1 / theta)


def turned_by_one_theta(x: F32, position: int, theta: float) -> F32:
    """The usual theta, whatever is asked for."""
    return turned(x, position, 10_000.0)


def turned_by_inverse(x: F32, position: int, theta: float) -> F32:
    """The exponent twice as large."""
    return turned(x, position, theta**2)


def turned_by_one_pair(x: F32, position: int, theta: float) -> F32:
    """Pairs counted from one."""
    angles = _angles(len(x), position, theta) * theta ** (-2 / len(x))
    a, b = np.split(x, 2)
    cos, sin = np.cos(angles), np.sin(angles)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin])


def turned_and_mirrored(x: F32, position: int, theta: float) -> F32:
    """Two signs exchanged in one line only."""
    first, second = np.split(turned(x, position, theta), 2)
    back = np.split(turned_back(x, position, theta), 2)[1]
    return np.concatenate([first, back])


def turned_in_turns(x: F32, position: int, theta: float) -> F32:
    """The right numbers, pair by pair."""
    return np.stack(np.split(turned(x, position, theta), 2), axis=1).ravel()


def turned_fast(x: F32, position: int, theta: float) -> F32:
    """The exponent half as large."""
    return turned(x, position, theta**0.5)


check_pair = Exercise(
    right=[-2.0, 1.0],
    mistakes={
        "You turned it the other way: (a, b) becomes (a cos - b sin, b cos + a sin).": [
            2.0,
            -1.0,
        ],
        "That is where it began. A quarter turn moves it.": [1.0, 2.0],
        "You exchanged the two and turned nothing.": [2.0, 1.0],
    },
)
check_turned = Exercise(
    right=turned,
    mistakes={
        "You turn the other way: by minus the angle.": turned_back,
        "You took neighbours for pairs. Here a number and the one half a head further "
        "on are a pair; programs differ in this.": turned_neighbours,
        "You count positions from one. The first token is at 0, and is not turned."
        "": turned_from_one,
        "Your later pairs are too fast: the exponent is -2 * j / d, and j counts pairs."
        "": turned_fast,
        "Your later pairs are too slow: the exponent is -2 * j / d, and j counts pairs."
        "": turned_by_inverse,
        "Your later pairs are faster. The exponent is negative: -2 * j / d."
        "": turned_faster,
        "You count pairs from one. The first turns by the position itself: j = 0."
        "": turned_by_one_pair,
        "You take theta to be 10,000. It is an argument: 2B4T has 500,000."
        "": turned_by_one_theta,
        "One of the four signs is wrong: (a, b) becomes (a cos - b sin, b cos + a sin)."
        "": turned_and_mirrored,
        "You put the pairs side by side. They go back to where they were: first all "
        "first halves, then all second.": turned_in_turns,
        "Every pair turns by the same angle. The later the pair, the slower: "
        "theta ** (-2 * j / d).": turned_alike,
    },
    cases=[
        (X, 1, 10_000.0),
        (X, 7, 500_000.0),
        (X, 0, 10_000.0),
        (LONGER, 23, 2_000.0),
    ],
    draw=draw_arrows,
)
