"""RMSNorm and its gradient.

Notes
-----
With ``r = 1 / sqrt(mean(x**2) + eps)`` and ``n = x * r`` the norm is ``y = n * gain``.
A coordinate of x acts on y in two ways: directly, and through r on all of them. ::

    dgain = sum over tokens of dy * n
    dn    = dy * gain
    dx    = r * (dn - n * mean(dn * n))

The second term takes from dn its component along n: making a vector longer changes
nothing that comes after the norm.

References
----------
Zhang and Sennrich, Root Mean Square Layer Normalization, 2019, arXiv 1910.07467,
section 3 and appendix.

Examples
--------
A gradient that points along x itself has no effect (but for eps).

>>> x = np.array([[1.0, 7.0, 5.0, 5.0]])
>>> y, pullback = rms_norm(x, np.ones(4), eps=0)
>>> dx, dgain = pullback(x)
>>> bool(np.allclose(dx, 0)), dgain
(True, array([0.2, 9.8, 5. , 5. ]))
"""

from collections.abc import Callable

import numpy as np

from minibitnet.training.arrays import Floats


def rms_norm(
    x: Floats, gain: Floats, eps: float
) -> tuple[Floats, Callable[[Floats], tuple[Floats, Floats]]]:
    """Each token divided by its root mean square, times the gain.

    x (T, N), gain (N,) -> y (T, N)
    """
    mean_square = np.square(x, dtype=np.float64).mean(axis=1, keepdims=True)
    root = np.sqrt(mean_square + eps).astype(x.dtype)  # as in inference
    r = 1 / root
    n = x / root

    def pullback(dy: Floats) -> tuple[Floats, Floats]:
        dgain = np.einsum("tn,tn->n", dy, n)
        dn = dy * gain
        along = np.einsum("tn,tn->t", dn, n)[:, None] / n.shape[1]
        return r * (dn - n * along), dgain

    return n * gain, pullback
