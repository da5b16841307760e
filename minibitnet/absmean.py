"""Absmean: a matrix of weights becomes -1, 0, +1 and one scale.

The mean absolute value of the whole matrix is the step. A weight that is less than half
a step from zero becomes 0; the others become -1 or +1 by their sign, however large they
are. So a matrix keeps of each weight its sign and whether it counts at all, and of all
of them together one number: their size.

Notes
-----
::

    gamma   = max(mean(|W|), 1e-5)                over the whole matrix, not per row
    w_codes = clip(round(W / gamma), -1, +1)      ties to even: a half becomes 0
    w_scale = gamma                               W ~ w_codes * w_scale

The mean is taken in float64 and rounded once to float32, so that it does not depend on
the order of the sum. Training keeps the full-precision master and quantizes it anew at
each step. Quantizing an already ternary matrix again is a mistake: its mean is smaller
(the zeros count), so the scale shrinks each time.

References
----------
Ma et al., The Era of 1-bit LLMs, 2024, arXiv 2402.17764, section 2, "Quantization
Function" (there written with gamma + epsilon in place of the maximum).

Examples
--------
The mean of these eight is 4.2 / 8 = 0.525. Dividing by the largest (absmax, 1.4)
instead would turn 0.6 into 0, and taking signs alone would leave no zero but the last.

>>> W = np.array([[0.9, -0.2, 0.3, -0.7], [-1.4, 0.1, 0.6, 0.0]], np.float32)
>>> w_codes, w_scale = quantize_weights(W)
>>> w_codes
array([[ 1,  0,  1, -1],
       [-1,  0,  1,  0]], dtype=int8)
>>> print(w_scale)
0.525
"""

import numpy as np

from minibitnet.arrays import F32, I8

SMALLEST_SCALE = np.float32(1e-5)  # keeps a matrix of zeros from dividing by zero


def quantize_weights(weight: F32) -> tuple[I8, np.float32]:
    """The ternary codes of a matrix of full-precision weights, and its one scale.

    weight (M, N) -> w_codes (M, N), w_scale ()
    """
    gamma = np.float32(np.abs(weight).mean(dtype=np.float64))
    w_scale = np.maximum(gamma, SMALLEST_SCALE)
    w_codes = np.clip(np.rint(weight / w_scale), -1, 1).astype(np.int8)
    return w_codes, w_scale
