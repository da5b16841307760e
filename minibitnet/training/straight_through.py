"""The straight-through estimator: learning through a rounding.

The forward pass uses the quantized weights and activations, exactly as inference will.
But rounding is a staircase: its slope is zero nearly everywhere, and a gradient that
went through it would vanish. So the backward pass acts as if rounding were not there:
the gradient by the quantized number is taken for the gradient by the number itself. The
full-precision master moves a little, and once it has moved far enough its code changes.

Notes
-----
::

    forward     y  = x_q @ W_q.T      x_q = x_codes * x_scale,  W_q = w_codes * w_scale
    backward    dx = dy @ W_q         the derivative by x_q, handed on to x
                dW = dy.T @ x_q       the derivative by W_q, handed on to W

There is no clipping mask, and no derivative through the scales: ``x_q - x`` and
``W_q - W`` count as constants. The product is taken of codes, which are whole numbers,
so ``acc`` is the very integer that inference has, and is then scaled back.

References
----------
Bengio et al., Estimating or Propagating Gradients Through Stochastic Neurons, 2013,
arXiv 1308.3432; Wang et al., BitNet, 2023, arXiv 2310.11453, section 2.2.

Examples
--------
The code of 0.5 is 64, so it counts as 64/127 = 0.5039; the weights 0.5 and -1 count as
+0.75 and -0.75. A true derivative of the rounding would give zeros.

>>> x, W = np.array([[0.5, 1.0]], np.float32), np.array([[0.5, -1.0]], np.float32)
>>> y, pullback = bit_linear(x, round_weights([W]))
>>> y.round(4)
array([[-0.372]], dtype=float32)
>>> dx, dW = pullback(np.ones((1, 1), np.float32))
>>> dx
array([[ 0.75, -0.75]], dtype=float32)
>>> dW.round(4)
array([[0.5039, 1.    ]], dtype=float32)
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minibitnet.absmax import quantize_activations
from minibitnet.absmean import quantize_weights
from minibitnet.training.arrays import Floats


class Rounded(NamedTuple):
    """Matrices that read the same input, one below the other, rounded."""

    codes: Floats  # (M, N): whole numbers, if they are rounded
    scale: Floats  # (M,): multiplies; the same for all rows of a matrix


def round_weights(masters: Sequence[Floats], ternary: bool = True) -> Rounded:
    """The ternary codes of masters that read the same input.

    masters [(M, N)] -> 
    """
    if not ternary:
        codes = np.concatenate(masters)
        return Rounded(codes, np.ones(len(codes), codes.dtype))
    pairs = [quantize_weights(master) for master in masters]
    dtype = masters[0].dtype
    return Rounded(
        np.concatenate([w_codes.astype(dtype) for w_codes, _ in pairs]),
        np.concatenate([np.full(len(c), w_scale, dtype) for c, w_scale in pairs]),
    )


def bit_linear(
    x: Floats, weight: Rounded, eight_bits: bool = True
) -> tuple[Floats, Callable[[Floats], tuple[Floats, Floats]]]:
    """A linear layer of rounded activations and weights.

    x (T, N) -> y (T, M)
    """
    if eight_bits:
        int_codes, x_scale = quantize_activations(x)
        x_codes = int_codes.astype(x.dtype)
    else:
        x_codes, x_scale = x, np.ones((len(x), 1), x.dtype)
    y = (x_codes @ weight.codes.T) * (x_scale * weight.scale)

    def pullback(dy: Floats) -> tuple[Floats, Floats]:
        dx = (dy * weight.scale) @ weight.codes
        dmasters = (dy * x_scale).T @ x_codes
        return dx, dmasters

    return y, pullback
