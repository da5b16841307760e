"""Attention and its gradient, for texts of equal length.

Here all tokens of a text are taken at once, and the later ones are hidden by a mask:
their scores are minus infinity, so their weights are zero. The numbers are those of
inference but for the order in which sums are added up.

Notes
-----
With weights ``P = softmax(S)``, ``S = q k.T / sqrt(d)`` and ``y = P v``::

    dv = P.T @ dy
    dP = dy @ v.T
    dS = P * (dP - sum(dP * P))       each row: raising one score lowers all weights
    dq = dS @ k / sqrt(d)
    dk = dS.T @ q / sqrt(d)

H / G query heads read the same keys and values, so those receive the sum of that many
gradients. The mask needs no thought: where P is zero, dS is.

References
----------
Vaswani et al., Attention Is All You Need, 2017, arXiv 1706.03762, section 3.2.1;
Ainslie et al., GQA, 2023, arXiv 2305.13245.

Examples
--------
The first token sees itself alone, so its value is all it gathers; the second weighs
both alike.

>>> q = np.zeros((1, 2, 1, 2))
>>> v = np.array([[[[1.0, 2.0]], [[3.0, 4.0]]]])
>>> y, pullback = attention(q, q, v)
>>> y[0, :, 0]
array([[1., 2.],
       [2., 3.]])
>>> _, _, dv = pullback(np.ones_like(y))
>>> dv[0, :, 0]
array([[1.5, 1.5],
       [0.5, 0.5]])
"""

from collections.abc import Callable

import numpy as np

from minibitnet.training.arrays import Floats


def attention(
    q: Floats, k: Floats, v: Floats
) -> tuple[Floats, Callable[[Floats], tuple[Floats, Floats, Floats]]]:
    """What each token gathers from itself and those before it.

    q (B, T, H, d), k (B, T, G, d), v (B, T, G, d) -> y (B, T, H, d)
    """
    B, T, H, d = q.shape
    G = k.shape[2]
    queries = by_group(q, G)  # (B, G, H // G * T, d)
    keys, values = by_group(k, G), by_group(v, G)  # (B, G, T, d)
    factor = q.dtype.type(d**-0.5)
    P = (queries * factor) @ keys.swapaxes(2, 3)  # (B, G, H // G * T, T)
    causal_softmax(P.reshape(B, G, H // G, T, T))

    def pullback(dy: Floats) -> tuple[Floats, Floats, Floats]:
        dy = by_group(dy, G)
        dv = P.swapaxes(2, 3) @ dy  # all heads of the group add up
        dS = dy @ values.swapaxes(2, 3)
        dS -= np.einsum("bgts,bgts->bgt", dS, P)[..., None]
        dS *= P
        dS *= factor
        dq, dk = dS @ keys, dS.swapaxes(2, 3) @ queries
        return by_token(dq, H), by_token(dk, G), by_token(dv, G)

    return by_token(P @ values, H), pullback


def by_group(x: Floats, G: int) -> Floats:
    """The heads that share a key, one text after the other.

    x (B, T, H, d) -> y (B, G, H // G * T, d)
    """
    B, T, H, d = x.shape
    return np.ascontiguousarray(x.swapaxes(1, 2)).reshape(B, G, H // G * T, d)


def by_token(x: Floats, H: int) -> Floats:
    """The inverse of `by_group`.

    x (B, G, H // G * T, d) -> y (B, T, H, d)
    """
    B, G, rows, d = x.shape
    return x.reshape(B, H, rows * G // H, d).swapaxes(1, 2)


def causal_softmax(scores: Floats) -> None:
    """Turn scores into weights, in place.

    scores (B, G, H // G, T, T) -> 
    """
    T = scores.shape[-1]
    scores += np.triu(np.full((T, T), -np.inf, scores.dtype), k=1)
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
