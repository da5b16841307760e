"""Exercises of notebook 10, what happens to a token on its way through the model."""

import numpy as np
from numpy.typing import NDArray

from minibitnet.course.exercise import Exercise
from minibitnet.rmsnorm import rms_norm

F32 = NDArray[np.float32]

rng = np.random.default_rng(10)
TOKENS = rng.standard_normal((12, 3, 4)).astype(np.float32)
GAIN = np.array([1.0, 0.5, 2.0, 1.5], np.float32)
E = rng.standard_normal((7, 4)).astype(np.float32)


def next_token(h: F32, gain: F32, embedding: F32) -> int:
    """The right answer to `check_next_token`."""
    return int(np.argmax(embedding @ rms_norm(h[-1:], gain, 1e-5)[0]))


def next_of_first(h: F32, gain: F32, embedding: F32) -> int:
    """What follows the first token."""
    return next_token(h[:1], gain, embedding)


def next_without_norm(h: F32, gain: F32, embedding: F32) -> int:
    """The last norm forgotten."""
    return int(np.argmax(embedding @ h[-1]))


def next_of_all(h: F32, gain: F32, embedding: F32) -> int:
    """The tokens' mean."""
    return next_token(h.mean(axis=0, keepdims=True), gain, embedding)


def least_likely(h: F32, gain: F32, embedding: F32) -> int:
    """The lowest logit."""
    return int(np.argmin(embedding @ rms_norm(h[-1:], gain, 1e-5)[0]))


CASES = [(h, GAIN, E) for h in TOKENS]

check_order = Exercise(
    right=[3, 1, 4, 2],
    mistakes={
        "The sub-norm is behind attention, before o: it is BitNet's own place for it."
        "": [1, 3, 4, 2],
        "That is the first rounding, before q, k and v.": [4, 3, 1, 2],
        "You rounded before the norm. Every group of matrices has its norm first, then "
        "the rounding.": [1, 3, 2, 4],
    },
)
check_next_token = Exercise(
    right=next_token,
    mistakes={
        "That follows the first token. The last one's row is wanted: h[-1]."
        "": next_of_first,
        "You forgot the last norm, or its gains, by which some coordinates count more."
        "": next_without_norm,
        "You took the mean of all tokens. The last one has gathered what it needs."
        "": next_of_all,
        "You took the lowest logit.": least_likely,
    },
    cases=CASES,
)
