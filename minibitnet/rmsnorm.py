"""RMSNorm: every token brought to the same size.

A token's vector is divided by its root mean square, so that its numbers are of size one
whatever they were, and then each coordinate is multiplied by its own learned gain. Only
the size is taken away: the mean is not subtracted, and there is nothing to add.

2B4T has four in each block. Two stand where most models have them, before attention and
before the feed-forward. The other two are the sub-norms: after attention before
``o_proj``, and after the gate before ``down_proj``. They hand 8-bit quantization an
input of known size.

Notes
-----
``y = x / sqrt(mean(x**2) + eps) * gain`` over the last axis, in float32, eps inside the
root. The gain multiplies as it is stored (some models store gain - 1).

References
----------
Zhang and Sennrich, Root Mean Square Layer Normalization, 2019, arXiv 1910.07467,
equation 4.

Examples
--------
The mean square of 1, 7, 5, 5 is 25, so with eps 11 all are divided by 6 (outside the
root eps would make it 16). Taking their mean off first, as LayerNorm does, would have
given another row.

>>> x = np.array([[1.0, 7.0, 5.0, 5.0]], np.float32)
>>> rms_norm(x, gain=np.array([6, 6, 6, 12], np.float32), eps=11)
array([[ 1.,  7.,  5., 10.]], dtype=float32)
"""

import numpy as np
from numpy.typing import NDArray


def rms_norm(
    x: NDArray[np.float32], gain: NDArray[np.float32], eps: float
) -> NDArray[np.float32]:
    """Each token divided by its root mean square, times the gain.

    Parameters
    ----------
    x : ndarray of shape (T, N), float32
        One vector a token.
    gain : ndarray of shape (N,), float32
        The ``weight`` of the norm in the checkpoint.
    eps : float
        Keeps a token of zeros from dividing by zero; ``rms_norm_eps``.

    Returns
    -------
    y : ndarray of shape (T, N), float32
        Of mean square 1 before the gain.
    """
    mean_square = np.square(x).mean(axis=1, keepdims=True)
    return x / np.sqrt(mean_square + np.float32(eps)) * gain
