"""From arrays to a model: which array goes where.

Each array of a checkpoint has a name that says its place. Assembling is going through
the places a model has, taking the array of that name, checking that it has the shape
the config asks for, and seeing in the end that no array is left over.

Notes
-----
Without ``lm_head.weight`` the head is the embedding, unless the config says that it is
not. With it, the array in the file is the head, even if the config ties the two: then
they should be equal, as in the first release of 2B4T, and if they are not, a
`CheckpointWarning` says so. Transformers (since version 5) does the same.
"""

import warnings
from collections.abc import Sequence

import numpy as np

from minibitnet.arrays import F16, F32, U16
from minibitnet.attention import Attention
from minibitnet.bitlinear import BitLinear
from minibitnet.checkpoint.open import Checkpoint
from minibitnet.checkpoint.take import Arrays
from minibitnet.feedforward import FeedForward
from minibitnet.files.jsonfile import CheckpointWarning
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

ROWS = 4096  # compared at a time


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
    for note in arrays.notes:
        warnings.warn(CheckpointWarning(note), stacklevel=3)
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


def take_head(arrays: Arrays, embed_tokens: U16 | F16 | F32) -> U16 | F16 | F32:
    """The matrix (V, D) that makes the logits: where tied, the embedding itself."""
    tied = arrays.stored.tied
    if HEAD not in arrays.left and tied is not False:
        return embed_tokens
    head = arrays.rows(HEAD)
    if not tied:
        return head
    if is_equal(head, embed_tokens):
        return embed_tokens
    arrays.notes[
        f"{arrays.files[0]}: {HEAD} is not the embedding, though config.json ties the "
        "two (tie_word_embeddings); it is used, as transformers does"
    ] = None
    return head


def is_equal(head: U16 | F16 | F32, embedding: U16 | F16 | F32) -> bool:
    """Whether two matrices are stored alike: head (V, D), embedding (V, D)."""
    alike = (head.shape, head.dtype) == (embedding.shape, embedding.dtype)
    return alike and all(
        np.array_equal(head[row : row + ROWS], embedding[row : row + ROWS])
        for row in range(0, len(head), ROWS)
    )
