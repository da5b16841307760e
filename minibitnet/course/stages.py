"""Exercises of notebook 17, and the faulty ports that are found in it.

A port is a context: inside, the model that it yields computes as that port does. (Do
not look before you have looked for the mistakes in the notebook.)
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from minibitnet import attention, bitlinear
from minibitnet.course.attention import attend_by_turns
from minibitnet.course.exercise import Exercise
from minibitnet.model import Model
from minibitnet.golden.names import IN_A_BLOCK

F32 = NDArray[np.float32]
Port = Callable[[Model], AbstractContextManager[Model]]


@contextmanager
def port_a(model: Model) -> Iterator[Model]:
    """The scale of the weights divides."""

    def scale_back(acc: NDArray[np.int32], x_scale: F32, w_scale: F32) -> F32:
        return acc.astype(np.float32) * (x_scale / w_scale)

    with patch.object(bitlinear, "scale_back", scale_back):
        yield model


@contextmanager
def port_b(model: Model) -> Iterator[Model]:
    """RoPE turns neighbours, not halves."""

    def rotate(x: F32, cos: F32, sin: F32) -> F32:
        a, b, cos, sin = x[..., 0::2], x[..., 1::2], cos[:, None], sin[:, None]
        pairs = [a * cos - b * sin, b * cos + a * sin]
        return np.stack(pairs, axis=-1).reshape(x.shape)

    with patch.object(attention, "rotate", rotate):
        yield model


@contextmanager
def port_c(model: Model) -> Iterator[Model]:
    """SiLU stands where squared ReLU should."""
    yield replace(model, config=replace(model.config, hidden_act="silu"))


@contextmanager
def port_d(model: Model) -> Iterator[Model]:
    """Query heads take key/value heads by turns, h % G in place of h // (H // G)."""
    with patch.object(attention, "attend", attend_by_turns):
        yield model


PORTS: dict[str, Port] = {"A": port_a, "B": port_b, "C": port_c}

rng = np.random.default_rng(17)
LOUD = np.array([[1], [1000], [1], [1], [1]], np.float32)
RIGHT = rng.standard_normal((5, 4), np.float32) * LOUD
LAST_BITS = RIGHT * np.float32(1 + 1e-6)
FAINT = LAST_BITS * np.array([[1], [1], [1.1], [1], [9]], np.float32)
LESS = LAST_BITS - np.array([[0], [0], [0], [4], [8]], np.float32)
TINY = np.where(np.arange(20).reshape(5, 4) == 10, np.float32(1e-6), RIGHT)
TINY_TWICE = np.where(TINY == np.float32(1e-6), np.float32(2e-6), LAST_BITS)
NEGATIVE = -np.abs(RIGHT)
ONE = np.where(np.arange(20).reshape(5, 4) == 13, RIGHT * np.float32(1.0002), RIGHT)
BROKEN = np.where(np.arange(5)[:, None] >= 2, np.float32(np.nan), LAST_BITS)


def first(right: F32, port: F32, tolerance: float) -> int:
    """The right answer to `check_first`."""
    for n, (a, b) in enumerate(zip(right, port, strict=True)):
        if not np.abs(a - b).max() <= tolerance * np.abs(a).max():
            return n
    return -1


def first_absolute(right: F32, port: F32, tolerance: float) -> int:
    """The tolerance not relative to the size of the stage."""
    far = np.abs(right - port).max(axis=1) > tolerance
    return int(far.argmax()) if far.any() else -1


def first_of_means(right: F32, port: F32, tolerance: float) -> int:
    """The mean of the differences."""
    mean = np.abs(port - right).mean(axis=1)
    far = ~(mean <= tolerance * np.abs(right).max(axis=1))
    return int(far.argmax()) if far.any() else -1


def first_beside_maximum(right: F32, port: F32, tolerance: float) -> int:
    """The largest number, which may be small where all are negative."""
    far = ~(np.abs(port - right).max(axis=1) <= tolerance * right.max(axis=1))
    return int(far.argmax()) if far.any() else -1


def first_each(right: F32, port: F32, tolerance: float) -> int:
    """Each number beside itself, so that tiny ones are looked at too closely."""
    far = (~(np.abs(port - right) <= tolerance * np.abs(right))).any(axis=1)
    return int(far.argmax()) if far.any() else -1


def first_signed(right: F32, port: F32, tolerance: float) -> int:
    """Differences below zero not seen."""
    far = ~((port - right).max(axis=1) <= tolerance * np.abs(right).max(axis=1))
    return int(far.argmax()) if far.any() else -1


def first_without_nan(right: F32, port: F32, tolerance: float) -> int:
    """A comparison that NaN passes."""
    far = np.abs(port - right).max(axis=1) > tolerance * np.abs(right).max(axis=1)
    return int(far.argmax()) if far.any() else -1


def largest(right: F32, port: F32, tolerance: float) -> int:
    """The largest difference in place of the first."""
    if first(right, port, tolerance) == -1:
        return -1
    return int(np.argmax(np.abs(port - right).max(axis=1)))


def first_exact(right: F32, port: F32, tolerance: float) -> int:
    """No tolerance at all."""
    return first(right, port, 0)


_places = ["embed", *(stage.name for stage in IN_A_BLOCK)]
_logits = 1 + 6 * len(IN_A_BLOCK) + 1  # behind six blocks and final_norm
check_scale = Exercise(
    right=2.0,
    mistakes={
        "That is the ratio of the outputs. The port's scale is the right one times it."
        "": 4.0,
        "The port's output is larger, so its scale is, too.": 0.125,
        "With the right scale it would have the right output.": 0.5,
    },
)
check_first = Exercise(
    right=first,
    mistakes={
        "The tolerance is relative to the largest number of the stage: some stages are "
        "loud.": first_absolute,
        "That is the mean of the differences. One number far off is enough."
        "": first_of_means,
        "The largest number of a stage is meant without its sign."
        "": first_beside_maximum,
        "You compare each number with itself. Tiny ones differ by much and do not "
        "matter: the measure is the largest of the stage.": first_each,
        "A difference may be below zero, too.": first_signed,
        "NaN passes your comparison: it is neither above nor below. Ask whether the "
        "difference is small, and turn that round.": first_without_nan,
        "That is the largest difference. Look for the first: what comes after is "
        "wrong anyway.": largest,
        "Last bits differ between machines. That is what the tolerance is for."
        "": first_exact,
    },
    cases=[
        (RIGHT, LAST_BITS, 1e-4),
        (RIGHT, FAINT, 1e-4),
        (RIGHT, LESS, 1e-4),
        (RIGHT, BROKEN, 1e-4),
        (TINY, TINY_TWICE, 1e-4),
        (NEGATIVE, NEGATIVE * np.float32(1 + 1e-6), 1e-4),
        (RIGHT, ONE, 1e-4),
    ],
)
check_port_d = Exercise(
    right=_places.index("attn_weights"),
    mistakes={
        "That is a stage too late: attn is made of attn_weights.": _places.index(
            "attn"
        ),
        "The turned queries are right. Go on.": _places.index("q.rope"),
        "The turned keys are right. Go on. (Or did you count within the block? In "
        "list(stages) embed stands before it.)": _places.index("k.rope"),
        "That is the logits: everything before them may be wrong, too.": _logits,
    },
)
