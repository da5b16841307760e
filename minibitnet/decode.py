"""The decode loop: read the prompt, then write a token at a time.

Generation has two phases. Prefill reads the whole prompt: many tokens at once, for
which the hardware is quick, and only the last one's logits are wanted. Then each decode
step chooses a token from the logits and feeds it back, one token at a time, with the
cache holding what the earlier ones left. It ends at an end-of-text token, or when there
is no more room.

Notes
-----
A long prompt is read in pieces, which bounds the memory and changes nothing else: every
stage is the same to the last bit.

A model may have several end-of-text ids: 2B4T ends a document with one and an answer in
a chat with another. A stop string is looked for in the text of what was written, not of
the prompt, as it would be if it ended there. In either case the token that ends a text
is the last one yielded.

Examples
--------
A model whose layers are left out: what follows depends on the last token alone. 3 is
followed by itself, and so on; 1 by 0, which ends the text long before five tokens.

>>> from minibitnet import bf16
>>> from minibitnet.config import Config
>>> config = Config(hidden_size=2, intermediate_size=4, num_hidden_layers=0,
...     num_attention_heads=1, num_key_value_heads=1, head_dim=2, vocab_size=4,
...     max_position_embeddings=8, rope_theta=10000.0, rms_norm_eps=1e-5,
...     hidden_act="relu2", eos_token_ids=(0,))
>>> E = bf16.narrow(np.array([[9, 0], [8, 1], [1, 4], [-9, 9]], np.float32))
>>> model = Model(config, E, layers=(), norm=np.ones(2, np.float32), lm_head=E)
>>> list(generate(model, [3], max_new_tokens=5))
[3, 3, 3, 3, 3]
>>> list(generate(model, [3, 1], max_new_tokens=5))
[0]
"""

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.arrays import F32, I64
from minibitnet.cache import KVCache
from minibitnet.model import Model, check_ids, forward
from minibitnet.sampling import Sampling, penalize, sample
from minibitnet.text.streaming import Tokens, end_at

PREFILL_TOKENS = 256  # read at once; more is hardly faster


def generate(
    model: Model,
    ids: Sequence[int] | NDArray[np.integer[Any]],
    max_new_tokens: int = 50,
    temperature: float = 0.0,
    top_k: int = 0,
    top_p: float = 1.0,
    seed: int | None = 0,
    cache: KVCache | None = None,
    stop: Sequence[str] = (),
    min_p: float = 0.0,
    repetition_penalty: float = 1.0,
) -> Tokens:
    """Continue a text, token by token.

    Parameters
    ----------
    model : Model
        The weights.
    ids : sequence or ndarray of shape (T,), int
        The prompt.
    max_new_tokens : int
        How many tokens to write at most.
    temperature : float
        0 takes the most likely token each time; see `minibitnet.sampling`.
    top_k : int
        How many of the most likely tokens to draw from; 0 draws from all.
    top_p : float
        Which probability mass to draw from; 1 draws from all.
    seed : int or None
        The same seed gives the same text; None another each time, as the command does.
    cache : KVCache, optional
        The text so far, which the prompt continues.
    stop : list of str
        Texts, any of which ends the text; for these the model must have been loaded
        with its tokenizer.
    min_p : float
        How likely a token must be to be drawn, as a share of the most likely one.
    repetition_penalty : float
        What makes tokens of the prompt and of what was written less likely, greedy or
        not; 1 does nothing. Of a text in the cache the tokens are not known here. It
        may lift a logit that could not win, and so was summed in float32; the contract
        does not hold for such a text.

    Returns
    -------
    tokens : iterator of int
        Token ids; the last may be an end-of-text id, or complete a stop string. Its
        attribute `ended` is None before the end, and then ``"end of text"``,
        ``"stop"``, ``"max_new_tokens"`` or, where there is no more room, ``"context"``.

    Raises
    ------
    ValueError
        If an argument has no meaning or the prompt does not fit.
    """
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens must be 0 or above, got {max_new_tokens}")
    prompt = check_ids(ids, model.config, cache)
    room = len(prompt) + max_new_tokens
    kept = KVCache(model.config, room) if cache is None else cache
    how = Sampling(temperature, top_k, top_p, min_p, repetition_penalty)
    rng = np.random.default_rng(seed)

    def write() -> Generator[int, None, str]:
        unread, seen = prompt, prompt.tolist()
        for _ in range(max_new_tokens):
            logits = next_logits(model, unread, kept)
            token = sample(penalize(logits, seen, how.repetition_penalty), how, rng)
            yield token
            if token in model.config.eos_token_ids:
                return "end of text"
            if kept.length == kept.capacity:
                return "context"
            unread = np.array([token])
            seen.append(token)
        return "max_new_tokens"

    return end_at(write(), stop, model.tokenizer, prompt.tolist())


def next_logits(model: Model, ids: I64, cache: KVCache) -> F32:
    """Read on, a piece at a time; the logits after the last token.

    ids (T,) -> logits (V,)
    """
    for start in range(0, len(ids), PREFILL_TOKENS):
        piece = ids[start : start + PREFILL_TOKENS]
        logits = forward(model, piece, cache, last=True)
    return logits
