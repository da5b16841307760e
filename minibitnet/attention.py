"""Attention: every token gathers from the tokens before it.

Each token makes a query, a key and a value. Its query is compared with the keys of all
tokens up to itself; softmax turns the scores into weights that add up to one; and the
values, so weighted, are added up. The later tokens are out of its sight (attention is
causal), so what was computed for a token never changes, and its key and value are kept
in a cache.

Queries are grouped: H query heads share G keys and values, H / G neighbours each.

Notes
-----
For each head, over positions s up to the token's own::

    weights = softmax(q . k[s] / sqrt(d))
    attn    = sum of weights[s] * v[s]

Query head h reads key/value head ``h // (H // G)``. The heads laid end to end are
normalized (the sub-norm) and go through ``o_proj``.

Tokens are taken one at a time, each with the keys up to its own position. That slice is
the causal mask; nothing need be set to minus infinity. It also means that a token goes
through the very same operations whether it comes alone or with others, so its numbers
are the same to the last bit, and so are the integers they are rounded to.

References
----------
Vaswani et al., Attention Is All You Need, 2017, arXiv 1706.03762, section 3.2.1;
Ainslie et al., GQA, 2023, arXiv 2305.13245; Shazeer, Fast Transformer Decoding, 2019,
arXiv 1911.02150 (the cache).

Examples
--------
Four query heads, two key/value heads, d = 2 and two tokens seen. All queries are zero,
so both tokens weigh a half. Heads 0 and 1 read the first values, heads 2 and 3 the
second; taken by turns (head modulo 2) it would have been 2, 20, 2, 20.

>>> values = np.array([[[1, 1], [3, 3]], [[10, 10], [30, 30]]], np.float32)
>>> _, attn = attend(np.zeros((4, 2), np.float32), np.ones_like(values), values)
>>> attn[:, 0]
array([ 2.,  2., 20., 20.], dtype=float32)
"""

from dataclasses import dataclass
from math import prod
from mmap import mmap

import numpy as np
from numpy.typing import NDArray

from minibitnet.bitlinear import BitLinear, bit_linear
from minibitnet.config import Config
from minibitnet.rmsnorm import rms_norm
from minibitnet.rope import rotate
from minibitnet.stages import listened, stage

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Attention:
    """The weights of one block's attention."""

    qkv_proj: BitLinear  # D -> H*d, G*d, G*d: q_proj, k_proj and v_proj
    attn_sub_norm: F32 | None  # (H*d,); None in models without
    o_proj: BitLinear  # H*d -> D


class KVCache:
    """Keys and values of the tokens so far: the one thing here that changes.

    Parameters
    ----------
    config : Config
        Of the model it serves.
    capacity : int
        How many tokens it can hold. What is beyond the context of the model is not
        used.

    Raises
    ------
    ValueError
        If the capacity is below 1.
    """

    def __init__(self, config: Config, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be 1 or above, got {capacity}")
        L, G, d = config.num_hidden_layers, config.num_key_value_heads, config.head_dim
        self.capacity = capacity = min(capacity, config.max_position_embeddings)
        self.length = 0  # S: tokens held
        self.keys = unwritten((L, G, capacity, d))
        self.values = unwritten((L, G, capacity, d))

    def truncate(self, length: int) -> None:
        """Forget all tokens but the first.

        Parameters
        ----------
        length : int
            How many to keep.

        Raises
        ------
        ValueError
            If the cache does not hold that many.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"length must be from 0 to {self.length}, got {length}")
        self.length = length


def unwritten(shape: tuple[int, ...]) -> F32:
    """An array of zeros that takes memory only as it is written, page by page.

    Parameters
    ----------
    shape : tuple of int
        Of the array.

    Returns
    -------
    array : ndarray of any shape, float32
        ``np.zeros`` asks for huge pages, and one number would take a whole one.
    """
    memory = mmap(-1, 4 * prod(shape))
    return np.frombuffer(memory, np.float32).reshape(shape)


def attention(
    x: F32,
    weights: Attention,
    config: Config,
    cos_sin: tuple[F32, F32],
    cache: KVCache,
    L: int,
) -> F32:
    """Attention of new tokens over themselves and those in the cache.

    Parameters
    ----------
    x : ndarray of shape (T, D), float32
        The new tokens, normalized.
    weights : Attention
        Of this block.
    config : Config
        Of the model.
    cos_sin : tuple of two ndarrays of shape (T, d // 2), float32
        Cosine and sine at the new tokens' positions.
    cache : KVCache
        The new keys and values are written behind those it holds; its length stays.
    L : int
        The number of this block.

    Returns
    -------
    o : ndarray of shape (T, D), float32
        What to add to the tokens.
    """
    T = len(x)
    H, G, d = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    q, k, v = bit_linear(x, "attn_in", weights.qkv_proj)
    q = stage("q.rope", rotate(q.reshape(T, H, d), *cos_sin))
    k = stage("k.rope", rotate(k.reshape(T, G, d), *cos_sin))
    new = slice(cache.length, cache.length + T)
    cache.keys[L, :, new] = k.swapaxes(0, 1)  # (G, T, d)
    cache.values[L, :, new] = v.reshape(T, G, d).swapaxes(0, 1)  # (G, T, d)

    attn = np.empty((T, H, d), np.float32)
    attn_weights = np.zeros((H, T, new.stop if listened() else 0), np.float32)
    for t, S in enumerate(range(new.start + 1, new.stop + 1)):
        seen, attn[t] = attend(q[t], cache.keys[L, :, :S], cache.values[L, :, :S])
        if listened():
            attn_weights[:, t, :S] = seen
    stage("attn_weights", attn_weights)
    x = stage("attn", attn.reshape(T, H * d))
    if weights.attn_sub_norm is not None:
        x = rms_norm(x, weights.attn_sub_norm, config.rms_norm_eps)
        stage("attn_sub_norm", x)
    [o] = bit_linear(x, "attn_out", weights.o_proj)
    return o


def attend(q: F32, keys: F32, values: F32) -> tuple[F32, F32]:
    """One token's weights over the tokens it sees, and their values so weighted.

    Parameters
    ----------
    q : ndarray of shape (H, d), float32
        The token's queries.
    keys, values : ndarray of shape (G, S, d), float32
        Of all tokens up to this one.

    Returns
    -------
    weights : ndarray of shape (H, S), float32
        Each row adds up to one.
    attn : ndarray of shape (H, d), float32
        The values, weighted.
    """
    H, d = q.shape
    G, S, d = keys.shape
    grouped = q.reshape(G, H // G, d, 1)
    # A product of matrix and vector for each head: BLAS is slow for few columns
    scores = (keys[:, None] @ grouped)[..., 0] * np.float32(d**-0.5)  # (G, H // G, S)
    weights = softmax(scores)
    return weights.reshape(H, S), (weights @ values).reshape(H, d)


def softmax(scores: F32) -> F32:
    """Positive weights that add up to one along the last axis.

    Parameters
    ----------
    scores : ndarray of shape (G, H // G, S), float32
        Finite numbers, no further apart than float32 can tell.

    Returns
    -------
    weights : ndarray of shape (G, H // G, S), float32
        ``exp(score)``, divided by its sum.
    """
    # Taking the largest off changes nothing and keeps exp from overflowing.
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)
