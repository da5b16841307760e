"""Exercises of notebook 9, how a token gathers from the tokens before it."""

import numpy as np
from numpy.typing import NDArray

from minibitnet.attention import attend
from minibitnet.course.exercise import Exercise

F32 = NDArray[np.float32]

rng = np.random.default_rng(9)
Q = rng.standard_normal((4, 6)).astype(np.float32)
KEYS = rng.standard_normal((2, 5, 6)).astype(np.float32)
VALUES = rng.standard_normal((2, 5, 6)).astype(np.float32)


def gathered(q: F32, keys: F32, values: F32) -> F32:
    """The right answer to `check_gathered`."""
    return attend(q[None], keys, values)[0]


def gathered_by_turns(q: F32, keys: F32, values: F32) -> F32:
    """Heads shared out by turns: h % G in place of h // (H // G)."""
    order = np.arange(len(q)).reshape(-1, len(keys)).T.ravel()  # heads h % G together
    return gathered(q[order], keys, values)[np.argsort(order)]


def gathered_unscaled(q: F32, keys: F32, values: F32) -> F32:
    """The root of d forgotten."""
    return gathered(q * np.float32(np.sqrt(q.shape[1])), keys, values)


def gathered_divided_by_d(q: F32, keys: F32, values: F32) -> F32:
    """Divided by d, not its root."""
    return gathered(q / np.float32(np.sqrt(q.shape[1])), keys, values)


def gathered_evenly(q: F32, keys: F32, values: F32) -> F32:
    """Every token alike."""
    return gathered(np.zeros_like(q), keys, values)


def gathered_from_keys(q: F32, keys: F32, values: F32) -> F32:
    """Keys in place of values."""
    return gathered(q, keys, keys)


def _scores(q: F32, keys: F32) -> F32:
    shared = np.repeat(keys, len(q) // len(keys), axis=0)  # (H, S, d)
    return (shared @ q[:, :, None])[..., 0] / np.float32(np.sqrt(q.shape[1]))


def gathered_undivided(q: F32, keys: F32, values: F32) -> F32:
    """Exponentials that do not add up to one."""
    shared = np.repeat(values, len(q) // len(values), axis=0)
    return (np.exp(_scores(q, keys))[:, None] @ shared)[:, 0]


def gathered_by_scores(q: F32, keys: F32, values: F32) -> F32:
    """No softmax."""
    shared = np.repeat(values, len(q) // len(values), axis=0)
    return (_scores(q, keys)[:, None] @ shared)[:, 0]


check_head = Exercise(
    right=3,
    mistakes={
        "You shared the heads out by turns, 14 modulo 5. Neighbours share: 14 // 4. "
        "(Or did you count from 1?)": 4,
        "That is the query head itself. There are only five key/value heads.": 14,
        "14 // 5 has the numbers the wrong way: how many query heads share one?": 2,
    },
)
check_gathered = Exercise(
    right=gathered,
    mistakes={
        "You shared the heads out by turns, h % G. Neighbours share: h // (H // G)."
        "": gathered_by_turns,
        "You forgot to divide the scores by the root of d.": gathered_unscaled,
        "You divide the scores by d. Divide by its root.": gathered_divided_by_d,
        "Every token weighs the same: are your scores all alike?": gathered_evenly,
        "Your weights do not add up to one. Divide the exponentials by their sum."
        "": gathered_undivided,
        "There is no softmax: the scores themselves are no weights."
        "": gathered_by_scores,
        "You gather keys. Keys are compared with; values are gathered."
        "": gathered_from_keys,
    },
    cases=[(Q, KEYS, VALUES), (Q, KEYS[:, :1], VALUES[:, :1])],
)
