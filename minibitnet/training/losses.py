"""Losses: how surprised the model is by what comes next.

The model gives every token of its vocabulary a probability. The loss is what the token
that came costs under it: nothing if it was certain, more the less it was expected.

Notes
-----
For logits l and the token y that came, the cross-entropy is
``log(sum(exp(l))) - l[y]``, in nats: minus the logarithm of the probability of y. Its
gradient is the distance of what was expected from what came::

    dl = softmax(l) - one_hot(y)

The loss of a batch is the sum over its tokens, or their mean (2B4T was tuned on
conversations with the sum): `back_loss` takes 1 for the one and 1 / tokens for the
other. Each token may have a weight. Where only answers are to be learned, it is 1 in
the answers and 0 elsewhere.

Divided by ``log(2)`` and by the bytes that the tokens spell, the loss is bits per byte,
which can be compared between tokenizers.

References
----------
Ma et al., BitNet b1.58 2B4T Technical Report, 2025, arXiv 2504.12285, section 3.2 (the
sum).

Examples
--------
If four tokens are equally likely, any of them costs two bits.

>>> logits = np.zeros((1, 4))
>>> loss, back_loss = cross_entropy(logits, np.array([2]))
>>> float(loss / np.log(2)), back_loss(1.0)
(2.0, array([[ 0.25,  0.25, -0.75,  0.25]]))

Of two such tokens only the second counts:

>>> logits, targets = np.zeros((2, 4)), np.array([2, 0])
>>> loss, back_loss = cross_entropy(logits, targets, weights=np.array([0, 1]))
>>> float(loss / np.log(2))
2.0
>>> back_loss(1.0)
array([[ 0.  ,  0.  ,  0.  ,  0.  ],
       [-0.75,  0.25,  0.25,  0.25]])
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.training.backward import Floats, Ids


def cross_entropy(
    logits: Floats,
    targets: Ids,
    weights: NDArray[Any] | None = None,
) -> tuple[np.float64, Callable[[float], Floats]]:
    """What the tokens that came cost, times their weights, in all.

    logits (T, V), targets (T,), weights (T,) -> loss ()

    The pullback, `back_loss`, gives the gradient by the logits. Without weights every
    token counts once.
    """
    T, dtype = len(targets), logits.dtype
    rows = np.arange(T)
    counts = np.ones(T, dtype) if weights is None else weights.astype(dtype)
    # Subtracting the largest changes nothing and keeps exp from overflowing.
    shifted = logits - logits.max(axis=1, keepdims=True)
    came = shifted[rows, targets]
    powers = np.exp(shifted, out=shifted)  # in place: there is no larger array
    total = powers.sum(axis=1)
    loss = ((np.log(total) - came) * counts).sum(dtype=np.float64)

    def back_loss(dloss: float) -> Floats:
        dcosts = counts * dtype.type(dloss)
        dlogits = powers * (dcosts / total)[:, None]
        dlogits[rows, targets] -= dcosts
        return dlogits

    return loss, back_loss
