"""Cross-entropy: how surprised the model is by what comes next.

Notes
-----
For logits l and the token y that came, the loss is ``log(sum(exp(l))) - l[y]``, in
nats. Its gradient is the distance of what was expected from what came::

    dl = softmax(l) - one_hot(y)

The loss of a batch is the mean over its tokens, or their sum (2B4T was tuned on
conversations with the sum). Divided by ``log(2)`` and by the bytes that the tokens
spell it is bits per byte, which can be compared between tokenizers.

References
----------
Ma et al., BitNet b1.58 2B4T Technical Report, 2025, arXiv 2504.12285, section 3.2 (the
sum).

Examples
--------
Equal odds of four tokens cost two bits.

>>> loss, pullback = cross_entropy(np.zeros((1, 4)), np.array([2]))
>>> float(loss / np.log(2)), pullback(1.0)
(2.0, array([[ 0.25,  0.25, -0.75,  0.25]]))
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from minibitnet.training.arrays import Floats


def cross_entropy(
    logits: Floats, targets: NDArray[np.integer]
) -> tuple[np.floating, Callable[[float], Floats]]:
    """The sum over tokens of what each cost.

    logits (T, V), targets (T,) -> 
    """
    rows = np.arange(len(targets))
    shifted = logits - logits.max(axis=1, keepdims=True)
    came = shifted[rows, targets]
    probs = np.exp(shifted, out=shifted)
    total = probs.sum(axis=1)
    loss = (np.log(total) - came).sum(dtype=np.float64)

    def pullback(dloss: float) -> Floats:
        dlogits = probs * (dloss / total)[:, None]
        dlogits[rows, targets] -= logits.dtype.type(dloss)
        return dlogits

    return loss, pullback
