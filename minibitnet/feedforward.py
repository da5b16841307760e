"""The feed-forward: a gate of squared ReLU.

Where attention moves information between tokens, the feed-forward works on each token
alone. The token is projected twice to a longer vector: once to the values that might
pass (up) and once to a gate. A negative gate shuts its value out; a positive one lets
it pass, squared. So most of the longer vector is exactly zero. What is left is
normalized and projected back.

Notes
-----
::

    relu2(g)   = max(0, g)**2
    relu2_gate = relu2(gate) * up           (T, F)
    down       = down_proj(RMSNorm(relu2_gate))

The numbers grow: squared and multiplied they pass 1e10 in the first block of 2B4T,
which float16 cannot hold. The sub-norm over all F of them brings them back.

Models of the Llama architecture have SiLU, ``g / (1 + exp(-g))``, in place of squared
ReLU (their config.json says so; it is computed in float64 and rounded once) and no
sub-norm. Taking one for the other still gives fluent text, which is how the mistake has
gone unnoticed. Their gated product has the same stage name.

References
----------
So et al., Primer, 2021, arXiv 2109.08668, section 4 (squared ReLU); Shazeer, GLU
Variants Improve Transformer, 2020, arXiv 2002.05202; Ma et al., BitNet b1.58 2B4T
Technical Report, 2025, arXiv 2504.12285, section 2.

Examples
--------
The gate -2 is shut, 0.5 lets a quarter of its value pass, 3 nine times its value. ReLU
without the square would give 10 and 300; gate and up exchanged, 80, 200 and 30000.

>>> gate, up = np.float32([-2.0, 0.5, 3.0]), np.float32([10.0, 20.0, 100.0])
>>> relu2(gate) * up
array([  0.,   5., 900.], dtype=float32)
>>> silu(gate).round(4)
array([-0.2384,  0.3112,  2.8577], dtype=float32)
"""

from dataclasses import dataclass

import numpy as np

from minibitnet.arrays import F32
from minibitnet.bitlinear import BitLinear, bit_linear
from minibitnet.config import Config
from minibitnet.rmsnorm import rms_norm
from minibitnet.stages import stage


@dataclass(frozen=True)
class FeedForward:
    """The weights of one layer's feed-forward."""

    gate_up_proj: BitLinear  # D -> F, F: gate_proj and up_proj
    ffn_sub_norm: F32 | None  # (F,); None in models without
    down_proj: BitLinear  # F -> D


def feed_forward(x: F32, weights: FeedForward, config: Config) -> F32:
    """Each token through the gate.

    x (T, D) -> down (T, D)
    """
    gate, up = bit_linear(x, weights.gate_up_proj, "ffn_in", "gate", "up")
    x = stage("relu2_gate", ACTIVATIONS[config.hidden_act](gate) * up)
    if weights.ffn_sub_norm is not None:
        x = rms_norm(x, weights.ffn_sub_norm, config.rms_norm_eps)
        stage("ffn_sub_norm", x)
    [down] = bit_linear(x, weights.down_proj, "ffn_out", "down")
    return down


def relu2(gate: F32) -> F32:
    """Squared ReLU: zero, or the square of what is positive.

    gate (...) -> passed (...)
    """
    return np.square(np.maximum(gate, 0))


def silu(gate: F32) -> F32:
    """SiLU, ``gate / (1 + exp(-gate))``, for models that were trained with it.

    gate (...) -> passed (...)
    """
    wide = gate.astype(np.float64)
    small = np.exp(-np.abs(wide))  # of a negative number, so that it cannot overflow
    return (np.where(wide < 0, wide * small, wide) / (1 + small)).astype(np.float32)


ACTIVATIONS = {"relu2": relu2, "silu": silu}
