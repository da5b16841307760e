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
so ``acc`` is the very integer that inference has, and is then rescaled.

To see what rounding costs, it can be left out: `keep_weights` stands in for
`round_weights`, `float_linear` for `bit_linear`, either alone or both.

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

The same without any rounding:

>>> y, pullback = float_linear(x, keep_weights([W]))
>>> y, *pullback(np.ones((1, 1), np.float32))
(array([[-0.75]], dtype=float32), array([[ 0.5, -1. ]], dtype=float32),
 array([[0.5, 1. ]], dtype=float32))
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minibitnet.absmax import quantize_activations
from minibitnet.absmean import quantize_weights
from minibitnet.training.backward import Floats, Pullback2


class Rounded(NamedTuple):
    """Matrices that read the same input, stacked, as the forward pass uses them."""

    codes: Floats  # (M, N): whole numbers, unless the masters were kept
    scale: Floats  # (M,): multiplies; the same in all rows of a matrix


RoundWeights = Callable[[Sequence[Floats]], Rounded]
Linear = Callable[[Floats, Rounded], tuple[Floats, Pullback2]]


def round_weights(masters: Sequence[Floats]) -> Rounded:
    """The masters made ternary, each with a scale of its own, and stacked."""
    dtype = masters[0].dtype
    pairs = [quantize_weights(master) for master in masters]
    scales = np.array([w_scale for _, w_scale in pairs], dtype)
    return Rounded(
        np.concatenate([w_codes.astype(dtype) for w_codes, _ in pairs]),
        np.repeat(scales, [len(master) for master in masters]),
    )


def keep_weights(masters: Sequence[Floats]) -> Rounded:
    """The masters themselves, stacked, with scales of one."""
    codes = np.concatenate(masters)
    return Rounded(codes, np.ones(len(codes), codes.dtype))


def bit_linear(x: Floats, weight: Rounded) -> tuple[Floats, Pullback2]:
    """The product of rounded tokens and rounded weights; the pullback gives dx and dW.

    x (T, N) -> y (T, M)
    """
    int_codes, x_scale = quantize_activations(x)
    x_codes = int_codes.astype(x.dtype)
    # The sums are exact in float32, too: whole numbers below 2**24 for N < 132,000.
    y = (x_codes @ weight.codes.T) * (x_scale * weight.scale)

    def pullback(dy: Floats) -> tuple[Floats, Floats]:
        dx = (dy * weight.scale) @ weight.codes
        dW = (dy * x_scale).T @ x_codes
        return dx, dW

    return y, pullback


def float_linear(x: Floats, weight: Rounded) -> tuple[Floats, Pullback2]:
    """The product with the tokens as they are; the pullback gives dx and dW.

    x (T, N) -> y (T, M)
    """
    y = (x @ weight.codes.T) * weight.scale

    def pullback(dy: Floats) -> tuple[Floats, Floats]:
        return (dy * weight.scale) @ weight.codes, dy.T @ x

    return y, pullback
