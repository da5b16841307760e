"""The model: from token ids to logits.

A token id picks a row of the embedding. That vector passes through the blocks, and each
block adds two things to it: what attention gathers from earlier tokens, and what the
feed-forward makes of it. The last vector, normalized, is compared with every row of the
head; the more it resembles a row, the likelier that token comes next. In 2B4T the head
is the embedding itself.

Notes
-----
::

    h = E[ids]
    in each block:  h = h + attention(RMSNorm(h))
                    h = h + feed_forward(RMSNorm(h))
    logits = head @ RMSNorm(h)

All seven matrices of a block are ternary; embedding and head are bfloat16, widened
exactly, and not quantized. No biases anywhere, no dropout, no scaling of embedding or
logits.

There is no batch axis: the model reads one text. It may come in pieces, the cache
standing where the last piece ended, and every stage up to ``final_norm`` is the same to
the last bit however it is cut. Logits may differ in the last bits: BLAS adds up in
another order for one token than for several.

References
----------
Ma et al., BitNet b1.58 2B4T Technical Report, 2025, arXiv 2504.12285, section 2;
Touvron et al., LLaMA, 2023, arXiv 2302.13971, section 2.2 (the block).

Examples
--------
A model whose layers are left out. A token is likeliest to be followed by itself then,
since head and embedding are the same.

>>> from minibitnet.config import parse_config
>>> config = parse_config({"hidden_size": 2, "intermediate_size": 4, "vocab_size": 3,
...     "num_hidden_layers": 1, "num_attention_heads": 1, "hidden_act": "relu2"})
>>> E = bf16.narrow(np.array([[1, 0], [0, 1], [-1, 0]], np.float32))
>>> model = Model(config, E, layers=(), norm=np.ones(2, np.float32), lm_head=E)
>>> forward(model, [2, 0]).round(2)
array([[-1.41,  0.  ,  1.41],
       [ 1.41,  0.  , -1.41]], dtype=float32)
"""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from minibitnet import bf16
from minibitnet.attention import Attention, KVCache, attention
from minibitnet.config import Config
from minibitnet.feedforward import FeedForward, feed_forward
from minibitnet.kernels.head import project
from minibitnet.kernels.threads import use_threads
from minibitnet.rmsnorm import rms_norm
from minibitnet.rope import rotations
from minibitnet.stages import Tap, listen, stage, within

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Block:
    """The weights of one layer."""

    input_layernorm: F32  # (D,)
    self_attn: Attention
    post_attention_layernorm: F32  # (D,)
    mlp: FeedForward


@dataclass(frozen=True)
class Model:
    """All weights, and the numbers that say how to use them."""

    config: Config
    embed_tokens: NDArray[np.uint16]  # (V, D), bfloat16 bits
    layers: tuple[Block, ...]
    norm: F32  # (D,)
    lm_head: NDArray[np.uint16]  # (V, D), bfloat16 bits; tied: embed_tokens itself
    threads: int = 1  # how many compute at once; the result is the same


def forward(
    model: Model,
    ids: Sequence[int] | NDArray[np.integer],
    cache: KVCache | None = None,
    *,
    last: bool = False,
    tap: Tap | None = None,
) -> F32:
    """The logits of the next token after each of these.

    Parameters
    ----------
    model : Model
        The weights.
    ids : sequence or ndarray of shape (T,), int
        Token ids, at least one.
    cache : KVCache, optional
        The text so far, which these tokens continue and are added to. None: a text of
        these tokens alone.
    last : bool
        Whether to compute logits for the last token only.
    tap : callable, optional
        Called with the name and the array of every stage (see `minibitnet.stages`).

    Returns
    -------
    logits : ndarray of shape (T, V), or (V,) if `last`, float32
        For each token, a number for each that may follow.

    Raises
    ------
    ValueError
        If there are no ids, one is not in the vocabulary, or they do not fit.
    """
    ids = check_ids(ids, model.config, cache)
    cache = KVCache(model.config, capacity=len(ids)) if cache is None else cache
    with use_threads(model.threads), nullcontext() if tap is None else listen(tap):
        logits = run(model, ids, cache, last)
    cache.length += len(ids)  # at the very end: a run broken off leaves no trace
    return logits[0] if last else logits


def run(model: Model, ids: NDArray[np.int64], cache: KVCache, last: bool) -> F32:
    """The computation itself; `forward` has seen to what it is given.

    Parameters
    ----------
    model : Model
        The weights.
    ids : ndarray of shape (T,), int64
        Token ids.
    cache : KVCache
        The text so far; its length stays.
    last : bool
        Whether to compute logits for the last token only.

    Returns
    -------
    logits : ndarray of shape (T, V), or (1, V) if `last`, float32
        For each token, a number for each that may follow.
    """
    config, T = model.config, len(ids)
    positions = np.arange(cache.length, cache.length + T)
    cos_sin = rotations(positions, config.head_dim, config.rope_theta)

    h = stage("embed", bf16.widen(model.embed_tokens[ids]))
    for L, block in enumerate(model.layers):
        with within(f"layers.{L}."):
            h = run_block(h, block, config, cos_sin, cache, L)
    h = stage("final_norm", rms_norm(h, model.norm, config.rms_norm_eps))
    return stage("logits", project(h[-1:] if last else h, model.lm_head))


def run_block(
    h: F32,
    block: Block,
    config: Config,
    cos_sin: tuple[F32, F32],
    cache: KVCache,
    L: int,
) -> F32:
    """One layer: attention, then feed-forward, each added to the tokens.

    Parameters
    ----------
    h : ndarray of shape (T, D), float32
        The new tokens.
    block : Block
        The weights of this layer.
    config : Config
        Of the model.
    cos_sin : tuple of two ndarrays of shape (T, d // 2), float32
        Cosine and sine at the new tokens' positions.
    cache : KVCache
        The text so far.
    L : int
        The number of this layer.

    Returns
    -------
    h : ndarray of shape (T, D), float32
        The tokens, with what this layer adds.
    """
    x = stage("attn_norm", rms_norm(h, block.input_layernorm, config.rms_norm_eps))
    h = stage(
        "attn_residual", h + attention(x, block.self_attn, config, cos_sin, cache, L)
    )
    x = stage(
        "ffn_norm", rms_norm(h, block.post_attention_layernorm, config.rms_norm_eps)
    )
    return stage("ffn_residual", h + feed_forward(x, block.mlp, config))


def check_ids(
    ids: Sequence[int] | NDArray[np.integer], config: Config, cache: KVCache | None
) -> NDArray[np.int64]:
    """Token ids that the model can read now.

    Parameters
    ----------
    ids : sequence or ndarray of shape (T,), int
        What somebody wants the model to read.
    config : Config
        Of the model.
    cache : KVCache, optional
        The text so far.

    Returns
    -------
    ids : ndarray of shape (T,), int64
        The same.

    Raises
    ------
    ValueError
        If there are no ids, one is not in the vocabulary, or they do not fit.
    """
    array = np.asarray(ids)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(
            f"ids must be at least one token id in a row, got shape {array.shape}"
        )
    if array.dtype.kind not in "iu":
        raise ValueError(f"ids must be whole numbers, got {array.dtype}")
    V = config.vocab_size
    if array.min() < 0 or array.max() >= V:
        found = array[(array < 0) | (array >= V)][0]
        raise ValueError(f"ids must be from 0 to {V - 1}, got {found}")
    room = config.max_position_embeddings
    if cache is not None:
        room = cache.capacity - cache.length
    if len(array) > room:
        raise ValueError(
            f"ids must fit in the context, which has room for {room}, got {len(array)}"
        )
    return array.astype(np.int64)
