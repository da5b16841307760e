"""BitLinear: quantize, multiply, rescale.

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

>>> from minibitnet.kernels import masks
>>> from minibitnet.packing import pack
>>> packed = pack(np.array([[1, 0, 1, -1], [-1, 0, 1, 0]], np.int8))
>>> layer = BitLinear(
...     packed=(packed,),
...     rows=(2,),
...     scales=(np.float32(0.525),),
...     multiply=masks.prepare([packed], [2]),
... )
>>> x = np.array([[0.5, -1.0, 0.25, 0.0]], np.float32)
>>> [y] = bit_linear(x, layer, "x", "y")
>>> y
array([[ 0.3968504 , -0.13228346]], dtype=float32)

That is 96 * 0.525 / 127 and -32 * 0.525 / 127. Dividing by the scale of the weights
would have given 1.44.
"""

from dataclasses import dataclass

import numpy as np

from minibitnet.absmax import quantize_activations
from minibitnet.arrays import F32, I32, U8
from minibitnet.matmul import Multiply
from minibitnet.stages import stage


@dataclass(frozen=True)
class BitLinear:
    """Ternary matrices that read the same input."""

    packed: tuple[U8, ...]  # as the checkpoint stores them, (ceil(M / 4), N) of each
    rows: tuple[int, ...]  # M of each
    scales: tuple[np.float32, ...]  # w_scale of each; multiplies
    multiply: Multiply  # x_codes (T, N) -> acc (T, M) of each, by one of the kernels


def bit_linear(x: F32, layer: BitLinear, name: str, *outputs: str) -> list[F32]:
    """Each matrix's product with the tokens, through 8-bit codes.

    x (T, N) -> outputs [(T, M)]; `name` and `outputs` are their stage names.
    """
    x_codes, x_scale = quantize_activations(x)
    stage(f"{name}.codes", x_codes)
    stage(f"{name}.scale", x_scale)
    ys = []
    accs = layer.multiply(x_codes)
    for output, acc, w_scale in zip(outputs, accs, layer.scales, strict=True):
        stage(f"{output}.acc", acc)
        ys.append(stage(output, rescale(acc, x_scale, w_scale)))
    return ys


def rescale(acc: I32, x_scale: F32, w_scale: np.float32) -> F32:
    """What the integers stand for, as real numbers.

    acc (T, M), x_scale (T, 1), w_scale () -> y (T, M)
    """
    return acc.astype(np.float32) * (x_scale * w_scale)
