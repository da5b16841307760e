"""The gate of squared ReLU and its gradient.

Notes
-----
``z = max(0, g)**2 * u``. The derivative of a square is twice its root, and that of ReLU
is a step, which the root already has::

    dg = dz * 2 * max(0, g) * u
    du = dz * max(0, g)**2

References
----------
So et al., Primer, 2021, arXiv 2109.08668, section 4.

Examples
--------
>>> g, u = np.array([[-1.0, 3.0]]), np.array([[5.0, 7.0]])
>>> z, pullback = squared_relu_gate(g, u)
>>> z
array([[ 0., 63.]])
>>> pullback(np.ones((1, 2)))
(array([[ 0., 42.]]), array([[0., 9.]]))
"""

from collections.abc import Callable

import numpy as np

from minibitnet.training.arrays import Floats


def squared_relu_gate(
    gate: Floats, up: Floats
) -> tuple[Floats, Callable[[Floats], tuple[Floats, Floats]]]:
    """What the gate lets pass.

    gate (T, F), up (T, F) -> z (T, F)
    """
    root = np.maximum(gate, 0)
    square = np.square(root)

    def pullback(dz: Floats) -> tuple[Floats, Floats]:
        return dz * (2 * root) * up, dz * square

    return square * up, pullback
