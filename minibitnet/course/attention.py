"""Exercises of notebook 9, how a token gathers from the tokens before it."""

import numpy as np
from numpy.typing import NDArray

from minibitnet.attention import attend
from minibitnet.course.exercise import Exercise

F32 = NDArray[np.float32]

rng = np.random.default_rng(9)


def draw_case(H: int, G: int, S: int, d: int) -> tuple[F32, F32, F32]:
    """A random token and what it finds: q (H, d), keys (G, S, d), values (G, S, d)."""
    sizes = (H, d), (G, S, d), (G, S, d)
    q, keys, values = (rng.standard_normal(size, np.float32) for size in sizes)
    return q, keys, values


# H, G and H // G all differ, and h // G is below G: a wrong head is still a head.
CASES = [draw_case(6, 3, 5, 8), draw_case(12, 4, 7, 6), draw_case(6, 3, 5, 8)]
CASES += [draw_case(4, 4, 4, 4), draw_case(6, 3, 1, 8)]
Q, KEYS, VALUES = draw_case(6, 3, 5, 8)
CASES.append((20_000 * Q, KEYS, VALUES))  # exp overflows, in float64 as well


def gathered(q: F32, keys: F32, values: F32) -> F32:
    """The right answer to `check_gathered`."""
    return attend(q[None], keys, values)[0]


def gathered_by_turns(q: F32, keys: F32, values: F32) -> F32:
    """Heads shared out by turns: h % G in place of h // (H // G)."""
    order = np.arange(len(q)).reshape(-1, len(keys)).T.ravel()  # heads h % G together
    return gathered(q[order], keys, values)[np.argsort(order)]


def gathered_from(groups: NDArray[np.int64], case: tuple[F32, F32, F32]) -> F32:
    """For each head the group it reads."""
    q, keys, values = case
    return gathered(q, keys[groups], values[groups])


def gathered_by_groups(q: F32, keys: F32, values: F32) -> F32:
    """Heads by h // G, which is also what np.repeat(keys, G) does."""
    return gathered_from(np.arange(len(q)) // len(keys), (q, keys, values))


def gathered_by_rest(q: F32, keys: F32, values: F32) -> F32:
    """Heads by h % (H // G)."""
    share = len(q) // len(keys)
    return gathered_from(np.arange(len(q)) % share, (q, keys, values))


def gathered_from_first(q: F32, keys: F32, values: F32) -> F32:
    """The first group for all."""
    return gathered(q, keys[:1], values[:1])


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


def _gather(weights: F32, values: F32) -> F32:
    shared = np.repeat(values, len(weights) // len(values), axis=0)
    return (weights[:, None] @ shared)[:, 0]


def gathered_over_heads(q: F32, keys: F32, values: F32) -> F32:
    """Softmax along the wrong axis."""
    scores = _scores(q, keys)
    powers = np.exp(scores - scores.max(axis=0))
    return _gather(powers / powers.sum(axis=0), values)


def gathered_over_all(q: F32, keys: F32, values: F32) -> F32:
    """One softmax for all heads."""
    scores = _scores(q, keys)
    powers = np.exp(scores - scores.max())
    return _gather(powers / powers.sum(), values)


def gathered_naively(q: F32, keys: F32, values: F32) -> F32:
    """Exponentials of large numbers."""
    powers = np.exp(_scores(q, keys))
    return _gather(powers / powers.sum(axis=1, keepdims=True), values)


def gathered_undivided(q: F32, keys: F32, values: F32) -> F32:
    """Exponentials that do not add up to one."""
    return _gather(np.exp(_scores(q, keys)), values)


def gathered_by_scores(q: F32, keys: F32, values: F32) -> F32:
    """No softmax."""
    return _gather(_scores(q, keys), values)


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
        "You shared the heads out by h // G, or repeated the keys G times. Each group "
        "serves H // G heads: h // (H // G).": gathered_by_groups,
        "You shared the heads out by h % (H // G). Neighbours share: h // (H // G)."
        "": gathered_by_rest,
        "All your heads read the first group. Neighbours share: h // (H // G)."
        "": gathered_from_first,
        "You forgot to divide the scores by the root of d.": gathered_unscaled,
        "You divide the scores by d. Divide by its root.": gathered_divided_by_d,
        "Every token weighs the same: are your scores all alike?": gathered_evenly,
        "Your weights do not add up to one. Divide the exponentials by their sum."
        "": gathered_undivided,
        "Your softmax goes over the heads. It goes over the tokens, and the weights of "
        "each head add up to one.": gathered_over_heads,
        "You have one softmax for all heads. Each head's weights add up to one."
        "": gathered_over_all,
        "exp of a large score is infinity. Take the largest of the head off first: it "
        "changes nothing else.": gathered_naively,
        "There is no softmax: the scores themselves are no weights."
        "": gathered_by_scores,
        "You gather keys. Keys are compared with; values are gathered."
        "": gathered_from_keys,
    },
    cases=CASES,
)
