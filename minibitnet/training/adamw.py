"""AdamW: each weight moves at its own pace.

Two running means are kept for every weight: of its gradient, which says where to go,
and of the gradient's square, whose root says how large gradients usually are there. The
step is one divided by the other, so it has about the size of the learning rate whatever
the units of the loss. Apart from that, weights decay: they shrink by a small part each
step.

Notes
-----
::

    m = beta1 * m + (1 - beta1) * g          both start at zero, so early on they
    v = beta2 * v + (1 - beta2) * g**2       are too small, by 1 - beta**step
    w = w - rate * (m / (1 - beta1**step)) / (sqrt(v / (1 - beta2**step)) + eps)
          - rate * decay * w

Only matrices decay; gains and the embedding do not. Decay works on the masters: it is
what keeps undecided weights near the boundary between codes.

Before, gradients are clipped: if the length of all of them together (their norm, as one
vector) is above a limit, they are shrunk to it.

References
----------
Kingma and Ba, Adam, 2014, arXiv 1412.6980, algorithm 1; Loshchilov and Hutter,
Decoupled Weight Decay Regularization, 2017, arXiv 1711.05101, algorithm 2.

Examples
--------
The first step goes a full rate against the sign of the gradient, large or small.

>>> w = {"w": np.array([1.0, 1.0])}
>>> AdamW(w).step({"w": np.array([1e-3, -500.0])}, rate=0.1, decay=0.0)
>>> w["w"].round(4)
array([0.9, 1.1])

Clipped to length 1, the gradient (3, 4) keeps its direction.

>>> clip({"w": np.array([3.0, 4.0])}, limit=1.0)
({'w': array([0.6, 0.8])}, 5.0)
"""

from collections.abc import Mapping

import numpy as np

from minibitnet.training.backward import Floats
from minibitnet.weights import is_ternary

BETA1, BETA2, EPS = 0.9, 0.95, 1e-8


class AdamW:
    """Parameters, their running means, steps taken: all that a training changes."""

    def __init__(self, parameters: dict[str, Floats]) -> None:
        self.parameters = parameters
        self.m = {name: np.zeros_like(w) for name, w in parameters.items()}
        self.v = {name: np.zeros_like(w) for name, w in parameters.items()}
        self.steps = 0

    def step(self, gradients: Mapping[str, Floats], rate: float, decay: float) -> None:
        """Move all parameters once, in place."""
        self.steps += 1
        pace = rate / (1 - BETA1**self.steps)  # corrects m, which started at zero
        for name, w in self.parameters.items():
            g, m, v = gradients[name], self.m[name], self.v[name]
            m += (1 - BETA1) * (g - m)
            v += (1 - BETA2) * (np.square(g) - v)
            size = np.sqrt(v / (1 - BETA2**self.steps)) + EPS
            if decays(name):
                w -= rate * decay * w
            w -= pace * m / size


def decays(name: str) -> bool:
    """Whether a parameter decays: the masters of ternary matrices do."""
    return is_ternary(name)


def clip(
    gradients: Mapping[str, Floats], limit: float
) -> tuple[Mapping[str, Floats], float]:
    """Gradients no longer than a limit, all together, and how long they were."""
    squares = [np.vdot(g, g) for g in gradients.values()]
    length = float(np.sqrt(np.sum(squares, dtype=np.float64)))
    if length <= limit:
        return gradients, length
    return {name: g * (limit / length) for name, g in gradients.items()}, length
