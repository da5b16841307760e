"""Absmax: a token's activations become 8-bit integers and one scale.

The largest magnitude among a token's numbers is mapped to 127 and the others in
proportion, each rounded to the nearest integer. Every token has its own scale, measured
as it comes: nothing is calibrated beforehand, and one loud token does not cost its
neighbours their precision.

Notes
-----
::

    largest = max(max(|x|), 1e-5)                           per token
    x_codes = clip(round(x * (127 / largest)), -128, 127)   ties to even
    x_scale = largest / 127                                 x ~ x_codes * x_scale

All in float32. The division comes first and the product after it, as in the code the
model was trained with; ``x / x_scale`` can differ in the last bit, and so in a tie.
Transformers keeps the reciprocal, ``127 / largest``, and calls that the scale. -128 is
allowed by the formula and does not occur: the largest maps to 127 in magnitude.

References
----------
Ma et al., The Era of 1-bit LLMs, 2024, arXiv 2402.17764, section 2; Ma et al., BitNet
b1.58 2B4T Technical Report, 2025, arXiv 2504.12285, section 2.

Examples
--------
The first token is worked with steps of 1/127: 0.5 falls on 63.5, a tie, and goes to the
even 64; -0.25 falls on -31.75. The second token is a tenth of the first and has the
same codes: one scale for both tokens would have given it 6, -13, -3, 0.

>>> x = np.array([[0.5, -1.0, -0.25, 0.0], [0.05, -0.1, -0.025, 0.0]], np.float32)
>>> x_codes, x_scale = quantize_activations(x)
>>> x_codes
array([[  64, -127,  -32,    0],
       [  64, -127,  -32,    0]], dtype=int8)
>>> np.round(1 / x_scale)
array([[ 127.],
       [1270.]], dtype=float32)
"""

import numpy as np

from minibitnet.arrays import F32, I8

SMALLEST_MAXIMUM = np.float32(1e-5)  # keeps a token of zeros from dividing by zero


def quantize_activations(x: F32) -> tuple[I8, F32]:
    """The 8-bit codes of each token, and its scale.

    x (T, N) -> x_codes (T, N), x_scale (T, 1)
    """
    largest = np.maximum(np.abs(x).max(axis=1, keepdims=True), SMALLEST_MAXIMUM)
    x_codes = np.clip(np.rint(x * (127 / largest)), -128, 127).astype(np.int8)
    return x_codes, largest / 127
