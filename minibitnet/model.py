"""The model: from token ids to logits.

A token id picks a row of the embedding. That vector passes through the blocks, and each
block adds two things to it: what attention gathers from earlier tokens, and what the
feed-forward makes of it. The last vector, normalized, is compared with every row of the
head; the more it resembles a row, the more likely that token comes next. In 2B4T the
head is the embedding itself.

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
standing where the last piece ended, and every stage is the same to the last bit however
it is cut; only the trace of `attn_weights` grows.

Logits are summed in float64 and rounded once. With ``last=True`` those that cannot be
the largest are summed in float32 (see `minibitnet.kernels.head`): the same token wins.

References
----------
Ma et al., BitNet b1.58 2B4T Technical Report, 2025, arXiv 2504.12285, section 2;
Touvron et al., LLaMA, 2023, arXiv 2302.13971, section 2.2 (the block).

Examples
--------
A model whose layers are left out. The most likely token to follow is then the token
itself, since head and embedding are the same.

>>> config = Config(hidden_size=2, intermediate_size=4, num_hidden_layers=0,
...     num_attention_heads=1, num_key_value_heads=1, head_dim=2, vocab_size=3,
...     max_position_embeddings=8, rope_theta=10000.0, rms_norm_eps=1e-5,
...     hidden_act="relu2", eos_token_ids=())
>>> E = bf16.narrow(np.array([[1, 0], [0, 1], [-1, 0]], np.float32))
>>> model = Model(config, E, layers=(), norm=np.ones(2, np.float32), lm_head=E)
>>> forward(model, [2, 0]).round(2)
array([[-1.41,  0.  ,  1.41],
       [ 1.41,  0.  , -1.41]], dtype=float32)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from minibitnet import bf16
from minibitnet.arrays import F16, F32, I64, U16
from minibitnet.attention import Attention, attention
from minibitnet.cache import KVCache
from minibitnet.config import Config
from minibitnet.feedforward import FeedForward, feed_forward
from minibitnet.kernels.head import Head
from minibitnet.kernels.threads import use_threads
from minibitnet.rmsnorm import rms_norm
from minibitnet.rope import rotations
from minibitnet.stages import listen, stage, within
from minibitnet.tokenizer import Tokenizer


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
    embed_tokens: U16 | F16 | F32  # (V, D), as stored: U16 is the bits of bfloat16
    layers: tuple[Block, ...]
    norm: F32  # (D,)
    lm_head: U16 | F16 | F32  # (V, D); tied: embed_tokens itself
    threads: int = 1  # how many compute at once; the result is the same
    tokenizer: Tokenizer | None = None  # in whose texts a stop string is looked for
    prepare_head: Callable[[U16 | F16 | F32], Head] = Head  # by one of the kernels

    @cached_property
    def head(self) -> Head:
        """How to multiply by `lm_head`."""
        return self.prepare_head(self.lm_head)

    def __reduce__(self) -> NoReturn:
        """Refuse to be pickled or copied: a kernel keeps weights of its own."""
        raise TypeError(
            "a model cannot be pickled or copied; load it where it is needed, "
            "in the other process too, with minibitnet.load(path)"
        )


def run(model: Model, ids: I64, cache: KVCache, last: bool) -> F32:
    """The whole model; new keys and values go into the cache, whose length stays.

    ids (T,) -> logits (T, V) or (V,)
    """
    config, T = model.config, len(ids)
    positions = np.arange(cache.length, cache.length + T)
    cos_sin = rotations(positions, config.head_dim, config.rope_theta)

    h = stage("embed", bf16.widen(model.embed_tokens[ids]))
    for layer, block in enumerate(model.layers):
        with within(f"layers.{layer}."):
            h = run_block(h, block, config, cos_sin, cache, layer)
    h = stage("final_norm", rms_norm(h, model.norm, config.rms_norm_eps))
    return stage("logits", model.head.one(h[-1]) if last else model.head.all(h))


def run_block(
    h: F32,
    block: Block,
    config: Config,
    cos_sin: tuple[F32, F32],
    cache: KVCache,
    layer: int,
) -> F32:
    """One layer: attention, then feed-forward, each added to the tokens.

    h (T, D) -> h (T, D)
    """
    eps = config.rms_norm_eps
    x = stage("attn_norm", rms_norm(h, block.input_layernorm, eps))
    o = attention(x, block.self_attn, config, cos_sin, cache, layer)
    h = stage("attn_residual", h + o)
    x = stage("ffn_norm", rms_norm(h, block.post_attention_layernorm, eps))
    return stage("ffn_residual", h + feed_forward(x, block.mlp, config))


def forward(
    model: Model,
    ids: Sequence[int] | NDArray[np.integer[Any]],
    cache: KVCache | None = None,
    *,
    last: bool = False,
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

    Returns
    -------
    logits : ndarray of shape (T, V), or (V,) if `last`, float32
        For each token, a number for each that may follow.

    Raises
    ------
    ValueError
        If there are no ids, one is not in the vocabulary, or they do not fit; or if
        the cache was made for another model.
    FloatingPointError
        If a number becomes infinite or NaN on the way; the first such stage is named.
        The cache stands where it stood.
    """
    checked = check_ids(ids, model.config, cache)
    cache = KVCache(model.config, capacity=len(checked)) if cache is None else cache
    with use_threads(model.threads), np.errstate(all="ignore"):
        logits = run(model, checked, cache, last)
        if not np.isfinite(logits).all():
            with listen(check_finite):  # once more, to name the stage where it began
                logits = run(model, checked, cache, last)
    cache.length += len(checked)  # at the very end: an interrupted run changes nothing
    return logits


def check_finite(name: str, array: NDArray[Any]) -> None:
    """Refuse a stage with infinity or NaN in it.

    array (...) -> nothing
    """
    wrong = array[~np.isfinite(array)]
    if wrong.size:
        raise FloatingPointError(f"{name}: expected finite numbers, found {wrong[0]}")


def check_ids(
    ids: Sequence[int] | NDArray[np.integer[Any]],
    config: Config,
    cache: KVCache | None,
) -> I64:
    """The token ids as an array, if the model can read them now.

    anything -> ids (T,)
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
    room = count_room(config, cache)
    if len(array) > room:
        raise ValueError(
            f"ids must fit in the context, which has room for {room}, got {len(array)}"
        )
    return array.astype(np.int64)


def count_room(config: Config, cache: KVCache | None) -> int:
    """How many tokens the model can still read."""
    if cache is None:
        return config.max_position_embeddings
    if cache.config != config:
        raise ValueError("cache must be made for this model, got another's")
    return cache.capacity - cache.length
