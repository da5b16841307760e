"""The whole model and its gradient: pullbacks called in reverse.

The forward pass is that of `minibitnet.model`, for a batch of B texts of T tokens,
stacked: (B * T, D). Each piece leaves its pullback behind. The backward pass starts
from the gradient by the logits, which a loss gives (`minibitnet.training.losses`), and
calls the pullbacks from the last to the first::

    logits, back = forward(parameters, rounded, config, inputs)
    loss, back_loss = cross_entropy(logits, targets)
    gradients = back(back_loss(1 / tokens))

Where an array was used twice, its gradients add up. That is so at the residuals, at q,
k and v (which read the same input) and at the embedding, which is the head as well.

Parameters and gradients are dictionaries from the checkpoint's names to arrays.

Notes
-----
Each matrix is rounded once a step. The tied embedding is not rounded; its gradient is
the sum of that from the logits and that from the rows that were looked up.

References
----------
Ma et al., BitNet b1.58 2B4T Technical Report, 2025, arXiv 2504.12285, section 2.

Examples
--------
A model without layers sees only the last token, and learns from one example that 1
follows 0: row 1 of the embedding is to move towards what row 0 was normalized to.

>>> from minibitnet.config import Config
>>> from minibitnet.training.losses import cross_entropy
>>> config = Config(hidden_size=2, intermediate_size=4, num_hidden_layers=0,
...     num_attention_heads=1, num_key_value_heads=1, head_dim=2, vocab_size=3,
...     max_position_embeddings=8, rope_theta=10000.0, rms_norm_eps=1e-5,
...     hidden_act="relu2", eos_token_ids=())
>>> E = np.array([[1.0, 1.0], [0.0, 0.0], [0.0, 0.0]])
>>> parameters = {EMBEDDING: E, FINAL_NORM: np.ones(2)}
>>> logits, back = forward(parameters, {}, config, np.array([[0]]))
>>> logits.round(2)
array([[2., 0., 0.]])
>>> loss, back_loss = cross_entropy(logits, np.array([1]))
>>> back(back_loss(1.0))[EMBEDDING].round(2)
array([[ 0.79,  0.79],
       [-0.89, -0.89],
       [ 0.11,  0.11]])
"""

from collections.abc import Callable, Mapping

import numpy as np

from minibitnet.config import Config
from minibitnet.rope import rotations
from minibitnet.training.backward import (
    Floats,
    Ids,
    Pullback,
    attention,
    rms_norm,
    rotate,
    squared_relu_gate,
)
from minibitnet.training.straight_through import (
    Linear,
    Rounded,
    RoundWeights,
    bit_linear,
    round_weights,
)
from minibitnet.weights import (
    ATTN_NORM,
    ATTN_SUB_NORM,
    DOWN,
    EMBEDDING,
    FFN_NORM,
    FFN_SUB_NORM,
    FINAL_NORM,
    GATE_UP,
    GROUPS,
    OUT,
    QKV,
    in_layer,
)

Parameters = dict[str, Floats]


def round_matrices(
    parameters: Mapping[str, Floats],
    config: Config,
    weights: RoundWeights = round_weights,
) -> dict[str, Rounded]:
    """The matrices of all layers rounded, each group under the name of its first.

    With `keep_weights` they stay as they are.
    """
    rounded = {}
    for layer in range(config.num_hidden_layers):
        for group in GROUPS:
            names = [in_layer(layer, name) for name in group]
            rounded[names[0]] = weights([parameters[name] for name in names])
    return rounded


def forward(
    parameters: Mapping[str, Floats],
    rounded: Mapping[str, Rounded],
    config: Config,
    inputs: Ids,
    linear: Linear = bit_linear,
) -> tuple[Floats, Callable[[Floats], Parameters]]:
    """The logits after each token of a batch.

    inputs (B, T) -> logits (B * T, V)

    The pullback, `back`, takes dlogits to the gradients by all parameters. `rounded` is
    from `round_matrices`. With `float_linear` activations are not rounded.
    """
    B, ids = len(inputs), inputs.ravel()
    embedding = parameters[EMBEDDING]
    h = embedding[ids]
    back_blocks = []
    for index in range(config.num_hidden_layers):
        layer = Layer(parameters, rounded, config, index, linear)
        h, back_block = block(h, layer, B)
        back_blocks.append(back_block)
    f, back_norm = rms_norm(h, parameters[FINAL_NORM], config.rms_norm_eps)

    def back(dlogits: Floats) -> Parameters:
        dembedding = dlogits.T @ f  # as the head
        dh, dgain = back_norm(dlogits @ embedding)
        gradients = {FINAL_NORM: dgain}
        for back_block in reversed(back_blocks):
            dh, of_layer = back_block(dh)
            gradients |= of_layer
        rows, sums = sum_by_row(ids, dh)
        dembedding[rows] += sums  # as the embedding
        return gradients | {EMBEDDING: dembedding}

    return f @ embedding.T, back


class Layer:
    """The weights of one layer; a pullback puts the gradient by them in `gradients`."""

    def __init__(
        self,
        parameters: Mapping[str, Floats],
        rounded: Mapping[str, Rounded],
        config: Config,
        index: int,
        linear: Linear,
    ) -> None:
        self.parameters, self.rounded, self.config = parameters, rounded, config
        self.index, self.linear = index, linear
        self.gradients: Parameters = {}

    def norm(self, x: Floats, name: str) -> tuple[Floats, Pullback]:
        """One of the norms, by its name in the checkpoint.

        x (T, N) -> y (T, N)
        """
        name = in_layer(self.index, name)
        y, pullback = rms_norm(x, self.parameters[name], self.config.rms_norm_eps)

        def keeping(dy: Floats) -> Floats:
            dx, self.gradients[name] = pullback(dy)
            return dx

        return y, keeping

    def project(self, x: Floats, group: tuple[str, ...]) -> tuple[Floats, Pullback]:
        """The products with matrices that read the same input, side by side.

        x (T, N) -> y (T, M)
        """
        names = [in_layer(self.index, name) for name in group]
        y, pullback = self.linear(x, self.rounded[names[0]])
        ends = np.cumsum([len(self.parameters[name]) for name in names])[:-1]

        def keeping(dy: Floats) -> Floats:
            dx, dstacked = pullback(dy)
            self.gradients.update(zip(names, np.split(dstacked, ends), strict=True))
            return dx

        return y, keeping


def block(
    h: Floats, layer: Layer, B: int
) -> tuple[Floats, Callable[[Floats], tuple[Floats, Parameters]]]:
    """One layer: attention, then feed-forward, each added to the tokens.

    h (B * T, D) -> h (B * T, D)

    The pullback gives dh and the gradients of the layer's parameters.
    """
    x, back_attn_norm = layer.norm(h, ATTN_NORM)
    qkv, back_qkv = layer.project(x, QKV)
    x, back_attn = rotate_and_attend(qkv, layer.config, B)
    x, back_attn_sub_norm = layer.norm(x, ATTN_SUB_NORM)
    o, back_o = layer.project(x, OUT)
    h = h + o
    x, back_ffn_norm = layer.norm(h, FFN_NORM)
    gate_up, back_gate_up = layer.project(x, GATE_UP)
    x, back_gate = squared_relu_gate(*np.split(gate_up, 2, axis=1))
    x, back_ffn_sub_norm = layer.norm(x, FFN_SUB_NORM)
    down, back_down = layer.project(x, DOWN)

    def back(dh: Floats) -> tuple[Floats, Parameters]:
        # The lines from the last to the first. What was added passes dh on unchanged.
        dgate, dup = back_gate(back_ffn_sub_norm(back_down(dh)))
        dgate_up = np.concatenate([dgate, dup], axis=1)
        dh = dh + back_ffn_norm(back_gate_up(dgate_up))
        dqkv = back_attn(back_attn_sub_norm(back_o(dh)))
        return dh + back_attn_norm(back_qkv(dqkv)), layer.gradients

    return h + down, back


def rotate_and_attend(qkv: Floats, config: Config, B: int) -> tuple[Floats, Pullback]:
    """What the tokens of each text gather; the pullback gives dqkv.

    qkv (B * T, H * d + 2 * G * d) -> y (B * T, H * d)
    """
    H, G, d = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    tokens = len(qkv)
    T = tokens // B
    heads = qkv.reshape(tokens, H + 2 * G, d)  # queries, keys, values
    cos, sin = rotations(np.tile(np.arange(T), B), d, config.rope_theta)
    cos, sin = cos.astype(qkv.dtype), sin.astype(qkv.dtype)
    turned, back_rotate = rotate(heads[:, : H + G], cos, sin)
    turned = turned.reshape(B, T, H + G, d)
    v = heads[:, H + G :].reshape(B, T, G, d)
    y, back_attention = attention(turned[:, :, :H], turned[:, :, H:], v)

    def back(dy: Floats) -> Floats:
        dq, dk, dv = back_attention(dy.reshape(B, T, H, d))
        dturned = np.concatenate([dq, dk], axis=2).reshape(tokens, H + G, d)
        dheads = [back_rotate(dturned), dv.reshape(tokens, G, d)]
        return np.concatenate(dheads, axis=1).reshape(tokens, -1)

    return y.reshape(tokens, H * d), back


def sum_by_row(ids: Ids, values: Floats) -> tuple[Ids, Floats]:
    """Each id that occurs, once, and the sum of its values.

    ids (T,), values (T, D) -> rows (N,), sums (N, D)
    """
    order = np.argsort(ids, kind="stable")
    firsts = np.flatnonzero(np.diff(ids[order], prepend=-1))  # where another id begins
    return ids[order][firsts], np.add.reduceat(values[order], firsts, axis=0)
