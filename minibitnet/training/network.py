"""The whole model and its gradient: pullbacks called in reverse.

The forward pass is that of `minibitnet.model`, for a batch of B texts of T tokens,
whose tokens lie one below the other: (B * T, D). Each piece leaves its pullback behind.
The backward pass starts from the loss and calls them from the last to the first; where
a number was used twice, its gradients add up. That is so at the residuals, at q, k and
v (which read the same input) and at the embedding, which is the head as well.

Parameters and gradients are dictionaries from the checkpoint's names to arrays.

Notes
-----
Each matrix is rounded once a step. The tied embedding is not rounded; its gradient is
the sum of that from the logits and that from the rows that were looked up.

References
----------
Ma et al., BitNet b1.58 2B4T Technical Report, 2025, arXiv 2504.12285, section 2.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minibitnet.config import Config
from minibitnet.rope import rotations
from minibitnet.training.arrays import Floats, Pullback
from minibitnet.training.attention import attention
from minibitnet.training.gate import squared_relu_gate
from minibitnet.training.loss import cross_entropy
from minibitnet.training.norm import rms_norm
from minibitnet.training.rotation import rotate
from minibitnet.training.straight_through import Rounded, bit_linear, round_weights
from minibitnet.weights import (
    ATTN_SUB_NORM,
    DOWN,
    EMBEDDING,
    FFN_SUB_NORM,
    FINAL_NORM,
    GATE_UP,
    GROUPS,
    OUT,
    QKV,
)

Parameters = dict[str, Floats]


@dataclass(frozen=True)
class Rounding:
    """What is rounded in the forward pass."""

    weights: bool = True  # to -1, 0, +1
    activations: bool = True  # to 8 bits


def round_matrices(
    parameters: Mapping[str, Floats], config: Config, rounding: Rounding
) -> dict[str, Rounded]:
    """The matrices of all layers, rounded."""
    rounded = {}
    for L in range(config.num_hidden_layers):
        for group in GROUPS:
            names = [f"model.layers.{L}.{name}.weight" for name in group]
            masters = [parameters[name] for name in names]
            rounded[names[0]] = round_weights(masters, rounding.weights)
    return rounded


def forward(
    parameters: Mapping[str, Floats],
    rounded: Mapping[str, Rounded],
    config: Config,
    ids: NDArray[np.integer],
    eight_bits: bool = True,
) -> tuple[float, Callable[[float], Parameters]]:
    """The loss of a batch, and the way back to all gradients.

    Parameters
    ----------
    parameters : dict
        The masters.
    rounded : dict
        From `round_matrices`.
    config : Config
        Of the model.
    ids : ndarray of shape (B, T + 1), int
        Texts.
    eight_bits : bool
        Whether activations are rounded.

    Returns
    -------
    loss : float
        In nats, the sum over B * T tokens.
    pullback : callable
        From the gradient by the loss to the gradients by parameter.
    """
    inputs, targets = ids[:, :-1].ravel(), ids[:, 1:].ravel()
    embedding = parameters[EMBEDDING]
    h = embedding[inputs]
    layers = []
    for L in range(config.num_hidden_layers):
        layer = Layer(parameters, rounded, config, L, eight_bits)
        h, pull_layer = block(h, layer, len(ids))
        layers.append(pull_layer)
    f, norm = rms_norm(h, parameters[FINAL_NORM], config.rms_norm_eps)
    loss, expect = cross_entropy(f @ embedding.T, targets)

    def pullback(dloss: float) -> Parameters:
        dlogits = expect(dloss)
        dembedding = dlogits.T @ f
        dh, dgain = norm(dlogits @ embedding)
        gradients = {FINAL_NORM: dgain}
        for pull_layer in reversed(layers):
            dh, more = pull_layer(dh)
            gradients |= more
        add_rows(dembedding, inputs, dh)
        return gradients | {EMBEDDING: dembedding}

    return float(loss), pullback


class Layer:
    """The pieces of one layer; each keeps its gradient when its pullback is called."""

    def __init__(
        self,
        parameters: Mapping[str, Floats],
        rounded: Mapping[str, Rounded],
        config: Config,
        L: int,
        eight_bits: bool,
    ) -> None:
        self.parameters, self.rounded, self.config = parameters, rounded, config
        self.prefix, self.eight_bits = f"model.layers.{L}.", eight_bits
        self.gradients: Parameters = {}

    def norm(self, x: Floats, name: str) -> tuple[Floats, Pullback]:
        """A norm, by its name in the checkpoint."""
        name = f"{self.prefix}{name}.weight"
        y, pullback = rms_norm(x, self.parameters[name], self.config.rms_norm_eps)

        def keeping(dy: Floats) -> Floats:
            dx, self.gradients[name] = pullback(dy)
            return dx

        return y, keeping

    def project(self, x: Floats, group: tuple[str, ...]) -> tuple[Floats, Pullback]:
        """The product with matrices that read the same input, side by side."""
        names = [f"{self.prefix}{name}.weight" for name in group]
        y, pullback = bit_linear(x, self.rounded[names[0]], self.eight_bits)
        ends = np.cumsum([len(self.parameters[name]) for name in names])[:-1]

        def keeping(dy: Floats) -> Floats:
            dx, dmasters = pullback(dy)
            each = np.split(dmasters, ends)
            self.gradients.update(zip(names, each, strict=True))
            return dx

        return y, keeping


def block(
    h: Floats, layer: Layer, B: int
) -> tuple[Floats, Callable[[Floats], tuple[Floats, Parameters]]]:
    """One layer: attention, then feed-forward, each added to the tokens.

    h (B * T, D) -> h (B * T, D)
    """
    x, attn_norm = layer.norm(h, "input_layernorm")
    qkv, qkv_proj = layer.project(x, QKV)
    x, mix = attention_of(qkv, layer.config, B)
    x, attn_sub_norm = layer.norm(x, ATTN_SUB_NORM)
    o, o_proj = layer.project(x, OUT)
    h = h + o
    x, ffn_norm = layer.norm(h, "post_attention_layernorm")
    gate_up, gate_up_proj = layer.project(x, GATE_UP)
    x, gate = squared_relu_gate(*np.split(gate_up, 2, axis=1))
    x, ffn_sub_norm = layer.norm(x, FFN_SUB_NORM)
    down, down_proj = layer.project(x, DOWN)

    def pullback(dh: Floats) -> tuple[Floats, Parameters]:
        dgate_up = np.concatenate(gate(ffn_sub_norm(down_proj(dh))), axis=1)
        dh = dh + ffn_norm(gate_up_proj(dgate_up))
        dqkv = mix(attn_sub_norm(o_proj(dh)))
        return dh + attn_norm(qkv_proj(dqkv)), layer.gradients

    return h + down, pullback


def attention_of(
    qkv: Floats, config: Config, B: int
) -> tuple[Floats, Callable[[Floats], Floats]]:
    """Rotation and attention of B texts.

    qkv (B * T, (H + 2 * G) -> y (B * T, H * d)
    """
    H, G, d = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    tokens = len(qkv)
    T = tokens // B
    heads = qkv.reshape(tokens, H + 2 * G, d)
    cos, sin = rotations(np.tile(np.arange(T), B), d, config.rope_theta)
    cos, sin = cos.astype(qkv.dtype), sin.astype(qkv.dtype)
    turned, turn = rotate(heads[:, : H + G], cos, sin)
    turned = turned.reshape(B, T, H + G, d)
    v = heads[:, H + G :].reshape(B, T, G, d)
    y, mix = attention(turned[:, :, :H], turned[:, :, H:], v)

    def pullback(dy: Floats) -> Floats:
        dq, dk, dv = mix(dy.reshape(B, T, H, d))
        dturned = np.concatenate([dq, dk], axis=2).reshape(tokens, H + G, d)
        dheads = [turn(dturned), dv.reshape(tokens, G, d)]
        return np.concatenate(dheads, axis=1).reshape(tokens, -1)

    return y.reshape(tokens, H * d), pullback


def add_rows(total: Floats, rows: NDArray[np.integer], values: Floats) -> None:
    """Add each value to its row; a row may come more than once.

    total (V, D), rows (T,), values (T, D) -> 
    """
    order = np.argsort(rows, kind="stable")
    firsts = np.flatnonzero(np.diff(rows[order], prepend=-1))
    total[rows[order][firsts]] += np.add.reduceat(values[order], firsts, axis=0)
