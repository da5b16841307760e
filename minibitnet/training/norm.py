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

    Parameters
    ----------
    x : ndarray of shape (T, N), float
        One vector a token.
    gain : ndarray of shape (N,), float
        One number a coordinate.
    eps : float
        Keeps a token of zeros from dividing by zero.

    Returns
    -------
    y : ndarray of shape (T, N), float
        Normalized.
    pullback : callable
        From dy (T, N) to dx (T, N) and dgain (N,).
    """
    r = 1 / np.sqrt(np.square(x).mean(axis=1, keepdims=True) + x.dtype.type(eps))
    n = x * r

    def pullback(dy: Floats) -> tuple[Floats, Floats]:
        dgain = np.einsum("tn,tn->n", dy, n)
        dn = dy * gain
        along = np.einsum("tn,tn->t", dn, n)[:, None] / n.shape[1]
        return r * (dn - n * along), dgain

    return n * gain, pullback
