"""BitLinear: quantize, multiply, scale back.

What a linear layer is in this model. The activations of a token become 8-bit codes with
a scale, the codes meet the ternary weights in an integer product, and the two scales,
multiplied, turn the integers back into real numbers. All rounding happens in the first
step; the product is exact.

Matrices that read the same input (q, k and v; gate and up) are one `BitLinear`: the
input is quantized once and each matrix multiplies the same codes.

Notes
-----
::

    x_codes, x_scale = quantize_activations(x)        a scale per token
    acc = ternary product of x_codes and w_codes      int32, exact
    y   = float32(acc) * (x_scale * w_scale)          the scales first, then the product

The integers become float32 by ``astype``: NumPy makes int32 times float32 a float64.

References
----------
Wang et al., BitNet, 2023, arXiv 2310.11453, section 2.1, equations 11-12; Ma et al.,
The Era of 1-bit LLMs, 2024, arXiv 2402.17764, section 2.

Examples
--------
x has the codes 64, -127, 32, 0 and the scale 1/127. The first row of weights adds 64
and 32, the second takes 64 from 32.

>>> from minibitnet.matmul import ternary_matmul
>>> w_codes = np.array([[1, 0, 1, -1], [-1, 0, 1, 0]], np.int8)
>>> layer = BitLinear(
...     names=("y",),
...     scales=(np.float32(0.525),),
...     multiply=lambda x_codes: [ternary_matmul(x_codes, w_codes)],
... )
>>> [y] = bit_linear(np.array([[0.5, -1.0, 0.25, 0.0]], np.float32), "x", layer)
>>> y
array([[ 0.3968504 , -0.13228346]], dtype=float32)

That is 96 * 0.525 / 127 and -32 * 0.525 / 127. Dividing by the scale of the weights
would have given 1.44.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minibitnet.absmax import quantize_activations
from minibitnet.kernels import Multiply
from minibitnet.stages import stage


@dataclass(frozen=True)
class BitLinear:
    """Ternary matrices that read the same input."""

    names: tuple[str, ...]  # their stage names, as ("q", "k", "v")
    scales: tuple[np.float32, ...]  # w_scale of each; multiplies
    multiply: Multiply  # x_codes (T, N) int8 -> acc (T, M) int32 of each


def bit_linear(
    x: NDArray[np.float32], name: str, layer: BitLinear
) -> list[NDArray[np.float32]]:
    """Each matrix's product with the tokens, through 8-bit codes.

    Parameters
    ----------
    x : ndarray of shape (T, N), float32
        One vector a token.
    name : str
        The stage name of the input, as ``"attn_in"``.
    layer : BitLinear
        The matrices.

    Returns
    -------
    outputs : list of ndarray of shape (T, M), float32
        One for each matrix.
    """
    x_codes, x_scale = quantize_activations(x)
    stage(name + ".codes", x_codes)
    stage(name + ".scale", x_scale)
    outputs = []
    accs = layer.multiply(x_codes)
    for y_name, acc, w_scale in zip(layer.names, accs, layer.scales, strict=True):
        stage(y_name + ".acc", acc)
        outputs.append(stage(y_name, scale_back(acc, x_scale, w_scale)))
    return outputs


def scale_back(
    acc: NDArray[np.int32], x_scale: NDArray[np.float32], w_scale: np.float32
) -> NDArray[np.float32]:
    """What the integers stand for, as real numbers.

    Parameters
    ----------
    acc : ndarray of shape (T, M), int32
        The ternary product.
    x_scale : ndarray of shape (T, 1), float32
        Of the activations, per token.
    w_scale : float32
        Of the weights.

    Returns
    -------
    y : ndarray of shape (T, M), float32
        The outputs of the layer.
    """
    return acc.astype(np.float32) * (x_scale * w_scale)
