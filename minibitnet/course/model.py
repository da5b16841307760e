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
# So loud that float32 overflows without a norm, and does not with one
LOUD = np.float32(1e18) * TOKENS[:4], np.float32(1e19) * GAIN, np.float32(100) * E


def next_token(h: F32, gain: F32, embedding: F32) -> int:
    """The right answer to `check_next_token`."""
    return int(np.argmax(logits(h, gain, embedding)))


def next_of_first(h: F32, gain: F32, embedding: F32) -> int:
    """What follows the first token."""
    return next_token(h[:1], gain, embedding)


def next_without_norm(h: F32, gain: F32, embedding: F32) -> int:
    """The last norm forgotten, but not its gains."""
    return int(np.argmax(embedding @ (h[-1] * gain)))


def next_without_gain(h: F32, gain: F32, embedding: F32) -> int:
    """The gains forgotten, or the whole norm."""
    return next_token(h, np.ones_like(gain), embedding)


def next_by_layer_norm(h: F32, gain: F32, embedding: F32) -> int:
    """The mean taken off."""
    return next_token(h - h.mean(axis=1, keepdims=True), gain, embedding)


def logits(h: F32, gain: F32, embedding: F32) -> F32:
    """What is to be chosen from."""
    return embedding @ rms_norm(h[-1:], gain, 1e-5)[0]


def largest_logit(h: F32, gain: F32, embedding: F32) -> F32:
    """The logit, not its index."""
    return logits(h, gain, embedding).max()


def next_of_sizes(h: F32, gain: F32, embedding: F32) -> int:
    """The logit that is largest without its sign."""
    return int(np.argmax(np.abs(logits(h, gain, embedding))))


def next_counted_from_one(h: F32, gain: F32, embedding: F32) -> int:
    """Ids counted from one."""
    return next_token(h, gain, embedding) + 1


def next_of_all(h: F32, gain: F32, embedding: F32) -> int:
    """The tokens' mean."""
    return next_token(h.mean(axis=0, keepdims=True), gain, embedding)


def least_likely(h: F32, gain: F32, embedding: F32) -> int:
    """The lowest logit."""
    return int(np.argmin(logits(h, gain, embedding)))


CASES = [(h, GAIN, E) for h in TOKENS] + [(h, *LOUD[1:]) for h in LOUD[0]]
CASES += [(h, GAIN, E[::-1].copy()) for h in np.float32(1e-3) * TOKENS[4:8]]

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
        "You forgot the gains of the last norm, by which some coordinates count more."
        "": next_without_gain,
        "You forgot the last norm. The order of logits stays, but numbers as loud as "
        "some here overflow float32 without it.": next_without_norm,
        "You take the mean off. The last norm is RMSNorm, too, which does not."
        "": next_by_layer_norm,
        "Those are the logits. Which is the largest? np.argmax.": logits,
        "That is the largest logit. Its index is the id: np.argmax.": largest_logit,
        "You took the logit that is largest without its sign.": next_of_sizes,
        "You count ids from one. The first is 0.": next_counted_from_one,
        "You took the mean of all tokens. The last one has gathered what it needs."
        "": next_of_all,
        "You took the lowest logit.": least_likely,
    },
    cases=CASES,
)
