"""From arrays to a model: which array goes where.

Each array of a checkpoint has a name that says its place. Assembling is going through
the places a model has, taking the array of that name, checking that it has the shape
the config asks for, and seeing in the end that no array is left over.

Notes
-----
If the config ties them, or there is no ``lm_head.weight`` and the config does not say,
the head is the embedding.
"""

from collections.abc import Sequence

from minibitnet.arrays import F32, U16
from minibitnet.attention import Attention
from minibitnet.bitlinear import BitLinear
from minibitnet.checkpoint.open import Checkpoint
from minibitnet.checkpoint.take import FLOATS, Arrays
from minibitnet.feedforward import FeedForward
from minibitnet.files.progress import progress
from minibitnet.matmul import Kernel
from minibitnet.model import Block, Model
from minibitnet.weights import (
    ATTN_NORM,
    ATTN_SUB_NORM,
    DOWN,
    EMBEDDING,
    FFN_NORM,
    FFN_SUB_NORM,
    GATE_UP,
    HEAD,
    OUT,
    QKV,
    matrices,
    norms,
)


def build_model(checkpoint: Checkpoint, prepare: Kernel, threads: int = 1) -> Model:
    """A model from the arrays of a checkpoint, its products by one of the kernels.

    Raises
    ------
    CheckpointError
        If an array is missing, left over, or not what the config asks for.
    """
    config = checkpoint.config
    arrays = Arrays(checkpoint)
    embed_tokens = arrays.rows(EMBEDDING)
    layers = progress(range(config.num_hidden_layers), "loading")
    blocks = tuple(build_block(arrays, f"model.layers.{n}", prepare) for n in layers)
    norm = arrays.gain("model.norm", config.hidden_size)
    lm_head = take_head(arrays, embed_tokens)
    arrays.check_empty()
    return Model(config, embed_tokens, blocks, norm, lm_head, threads)


def build_block(arrays: Arrays, layer: str, prepare: Kernel) -> Block:
    """The weights of one layer, whose names begin with `layer`."""
    lengths = norms(arrays.config)
    return Block(
        input_layernorm=arrays.gain(f"{layer}.{ATTN_NORM}", lengths[ATTN_NORM]),
        self_attn=Attention(
            qkv_proj=build_bit_linear(arrays, layer, QKV, prepare),
            attn_sub_norm=arrays.sub_norm(layer, ATTN_SUB_NORM, lengths[ATTN_SUB_NORM]),
            o_proj=build_bit_linear(arrays, layer, OUT, prepare),
        ),
        post_attention_layernorm=arrays.gain(f"{layer}.{FFN_NORM}", lengths[FFN_NORM]),
        mlp=FeedForward(
            gate_up_proj=build_bit_linear(arrays, layer, GATE_UP, prepare),
            ffn_sub_norm=arrays.sub_norm(layer, FFN_SUB_NORM, lengths[FFN_SUB_NORM]),
            down_proj=build_bit_linear(arrays, layer, DOWN, prepare),
        ),
    )


def build_bit_linear(
    arrays: Arrays, layer: str, group: Sequence[str], prepare: Kernel
) -> BitLinear:
    """The matrices of a layer that read the same input."""
    shapes = [matrices(arrays.config)[name] for name in group]
    taken = [
        arrays.ternary(f"{layer}.{name}", M, N)
        for name, (M, N) in zip(group, shapes, strict=True)
    ]
    packed, scales = zip(*taken, strict=True)
    rows = tuple(M for M, _ in shapes)
    return BitLinear(packed, rows, scales, multiply=prepare(packed, rows))


def take_head(arrays: Arrays, embed_tokens: U16 | F32) -> U16 | F32:
    """The matrix (V, D) that makes the logits: where tied, the embedding itself."""
    tied, there = arrays.stored.tied, HEAD in arrays.left
    if tied or (tied is None and not there):
        if there:  # a copy, as in the first release of 2B4T
            arrays.take(HEAD, FLOATS, embed_tokens.shape)
        return embed_tokens
    return arrays.rows(HEAD)
