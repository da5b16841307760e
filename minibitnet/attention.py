"""Attention: every token gathers from the tokens before it.

Each token makes a query, a key and a value. Its query is compared with the keys of all
tokens up to itself; softmax turns the scores into weights that sum to one; and the
weighted values are summed. Later tokens are hidden from it (attention is causal), so
what was computed for a token never changes, and its key and value are kept in a cache.

Queries are grouped: H query heads share G keys and values, H / G neighbours each.

Notes
-----
For each head, over positions s up to the token's own::

    weights = softmax(q . k[s] / sqrt(d))
    attn    = sum of weights[s] * v[s]

Query head h reads key/value head ``h // (H // G)``. The heads laid end to end are
normalized (the sub-norm) and go through ``o_proj``.

Scores, softmax and sums are float64, and `attn` is rounded to float32 once: so it is
the same in whatever order a machine adds. Tokens are taken one at a time, each with the
keys up to its own position. That slice is the causal mask; nothing need be set to minus
infinity. It also means that a token goes through the very same operations whether it
comes alone or with others.

References
----------
Vaswani et al., Attention Is All You Need, 2017, arXiv 1706.03762, section 3.2.1;
Ainslie et al., GQA, 2023, arXiv 2305.13245.

Examples
--------
Four query heads, two key/value heads, d = 2; one new token, the second of two. All
queries are zero, so both tokens weigh a half. Heads 0 and 1 read the first values,
heads 2 and 3 the second; taken by turns (head modulo 2) it would have been 2, 20, 2,
20.

>>> values = np.array([[[1, 1], [3, 3]], [[10, 10], [30, 30]]], np.float32)
>>> attn = attend(np.zeros((1, 4, 2), np.float32), np.ones_like(values), values)
>>> attn[0, :, 0]
array([ 2.,  2., 20., 20.], dtype=float32)
"""

from dataclasses import dataclass

import numpy as np

from minibitnet.arrays import F32, F64
from minibitnet.bitlinear import BitLinear, bit_linear
from minibitnet.cache import KVCache
from minibitnet.config import Config
from minibitnet.kernels.threads import split
from minibitnet.rmsnorm import rms_norm
from minibitnet.rope import rotate
from minibitnet.stages import stage

WORTH = 2**17  # multiplications of a token and a head that are worth a thread


@dataclass(frozen=True)
class Attention:
    """The weights of one layer's attention."""

    qkv_proj: BitLinear  # D -> H*d, G*d, G*d: q_proj, k_proj and v_proj
    attn_sub_norm: F32 | None  # (H*d,); None in models without
    o_proj: BitLinear  # H*d -> D


def attention(
    x: F32,
    weights: Attention,
    config: Config,
    cos_sin: tuple[F32, F32],
    cache: KVCache,
    layer: int,
) -> F32:
    """What new tokens gather from themselves and those in the cache.

    x (T, D) -> o (T, D)

    The new keys and values are written behind those the cache holds.
    """
    T = len(x)
    H, G, d = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    q, k, v = bit_linear(x, weights.qkv_proj, "attn_in", "q", "k", "v")
    q = stage("q.rope", rotate(q.reshape(T, H, d), *cos_sin))
    k = stage("k.rope", rotate(k.reshape(T, G, d), *cos_sin))
    keys, values = cache.write(layer, k, v.reshape(T, G, d))
    stage("attn_weights", lambda: attention_weights(q, keys))  # only if asked for
    x = stage("attn", attend(q, keys, values).reshape(T, H * d))
    if weights.attn_sub_norm is not None:
        x = rms_norm(x, weights.attn_sub_norm, config.rms_norm_eps)
        stage("attn_sub_norm", x)
    [o] = bit_linear(x, weights.o_proj, "attn_out", "o")
    return o


def attend(q: F32, keys: F32, values: F32) -> F32:
    """The last T of S tokens, each over all up to itself.

    q (T, H, d), keys (G, S, d), values (G, S, d) -> attn (T, H, d)
    """
    T, H, d = q.shape
    G, S, d = keys.shape
    attn = np.empty((T, G, H // G, d), np.float32)
    queries = q.reshape(T, G, H // G, d, 1).astype(np.float64)

    def work(first: int, last: int) -> None:
        k, v = np.empty((2, S, d))  # float64, used again for each group
        for g in range(first, last):
            k[:], v[:] = keys[g], values[g]
            for t, end in enumerate(range(S - T + 1, S + 1)):  # the token sees s < end
                # A vector for each head: BLAS copies matrices before it multiplies.
                scores = (k[:end] @ queries[t, g])[..., 0]  # (H // G, end)
                sums = softmax(scores * d**-0.5)[:, None] @ v[:end]
                attn[t, g] = sums[:, 0]  # rounded to float32 here, once

    split(work, G, WORTH // (S * d))
    return attn.reshape(T, H, d)


def softmax(scores: F64) -> F64:
    """Positive weights that sum to one along the last axis.

    scores (..., S) -> weights (..., S)
    """
    # Subtracting the largest changes nothing and keeps exp from overflowing.
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def attention_weights(q: F32, keys: F32) -> F32:
    """The weights that `attend` uses, rounded to float32 to be looked at.

    q (T, H, d), keys (G, S, d) -> attn_weights (H, T, S)
    """
    T, H, d = q.shape
    G, S, d = keys.shape
    rows = np.zeros((H, T, S), np.float32)  # 0 where a token does not see
    for h in range(H):
        k = keys[h // (H // G)].astype(np.float64)
        for t, end in enumerate(range(S - T + 1, S + 1)):
            rows[h, t, :end] = softmax(k[:end] @ q[t, h].astype(np.float64) * d**-0.5)
    return rows
