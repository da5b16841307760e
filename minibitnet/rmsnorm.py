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
::

    root = sqrt(mean(x**2) + eps)      over the last axis, eps inside the root
    y    = x / root * gain

The squares are summed in float64 and the root is rounded to float32 once, so that it
does not depend on the order of the sum; the rest is float32. The gain multiplies as it
is stored (some models store gain - 1).

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

from minibitnet.arrays import F32


def rms_norm(x: F32, gain: F32, eps: float) -> F32:
    """Each token divided by its root mean square, times the gain.

    x (T, N), gain (N,) -> y (T, N)
    """
    mean_square = np.square(x, dtype=np.float64).mean(axis=1, keepdims=True)
    root = np.sqrt(mean_square + eps).astype(np.float32)  # the one rounding of the sum
    return x / root * gain
