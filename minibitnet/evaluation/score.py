"""Scores: how likely a model finds each token of a text it has not seen.

After each token a model gives a probability to every token that may follow. The score
of a text is the logarithm of the probability of each token that did follow; their sum
is that of the whole text. It tells which of several continuations the model would
sooner write, and how much of a text it did not expect.

Bits per byte: a token of the probability p could be sent in ``log2(1 / p)`` bits. Added
up over a text and divided by its bytes, that is a measure which does not depend on the
tokenizer: 8 is knowing nothing, and every bit less is something learned. It is taken
with the model of inference, on whole documents, their end included.

Notes
-----
For logits l and the token y that came, ``log(p) = l[y] - log(sum(exp(l)))``, in nats
(divided by ``log(2)``, bits). The sum is float64, as all sums of inference are. The
logits that predict a token are those after the token before it; the first token has
none, and no score.

Several continuations of one prompt are scored without reading it again: the cache goes
back to the end of the prompt. Its last token is left out of the cache, since its logits
are wanted each time::

    forward(model, prompt[:-1], cache, last=True)
    for continuation in continuations:
        cache.truncate(len(prompt) - 1)
        score(model, [prompt[-1], *continuation], cache)

Logits for 128,256 tokens take half a megabyte a position. So a text is read in pieces,
and the logits of a piece are forgotten before the next; every bit is the same however
it is cut.

Special tokens count in the bits and not in the bytes. Begin-of-text costs nothing, as
nothing predicts it; the others must be predicted (end-of-text says that the document
is over), and spell no byte of it.

Examples
--------
A model without a block or a tokenizer of its own: its four tokens are equally likely,
so three that follow cost two bits each, which is 6 bits for a text of 3 bytes.

>>> from minibitnet.config import Config
>>> config = Config(hidden_size=2, intermediate_size=4, num_hidden_layers=0,
...     num_attention_heads=1, num_key_value_heads=1, head_dim=2, vocab_size=4,
...     max_position_embeddings=8, rope_theta=10000.0, rms_norm_eps=1e-5,
...     hidden_act="relu2", eos_token_ids=())
>>> zeros = np.zeros((4, 2), np.uint16)
>>> model = Model(config, zeros, layers=(), norm=np.ones(2, np.float32), lm_head=zeros)
>>> score(model, [0, 1, 2, 3]).round(4)  # log(1 / 4)
array([-1.3863, -1.3863, -1.3863])
>>> round(bits(model, [0, 1, 2, 3]), 4)
6.0

In the next one, of two tokens, each is nine times as likely to be followed by itself as
by the other. So of 0, 0, 1 the second has 0.9 and the third 0.1; whoever takes the
logits at a token, and not those before it, finds 0.9 and 0.9.

>>> from dataclasses import replace
>>> from minibitnet import bf16
>>> E = bf16.narrow(np.array([[1, -1], [-1, 1]], np.float32))
>>> gain = np.full(2, np.log(9) / 4, np.float32)
>>> model = replace(model, config=replace(config, vocab_size=2), embed_tokens=E,
...     norm=gain, lm_head=E)
>>> np.exp(score(model, [0, 0, 1])).round(3)
array([0.9, 0.1])
"""

from collections.abc import Iterator, Sequence
from math import log
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.arrays import F32, F64, I64
from minibitnet.cache import KVCache
from minibitnet.decode import PREFILL_TOKENS
from minibitnet.files.progress import progress
from minibitnet.model import Model, check_ids, forward
from minibitnet.tokenizer import END_OF_TEXT, Tokenizer


def score(
    model: Model,
    ids: Sequence[int] | NDArray[np.integer[Any]],
    cache: KVCache | None = None,
) -> F64:
    """The log-probability, in nats, of each token after the first.

    Parameters
    ----------
    model : Model
        The weights.
    ids : sequence or ndarray of shape (T + 1,), int
        Token ids, at least one.
    cache : KVCache, optional
        The text so far, which these tokens continue. All but the last are added to it;
        the last need not be read to be scored. None: a text of these tokens alone.

    Returns
    -------
    logprobs : ndarray of shape (T,), float64
        For each token after the first, the logarithm of its probability.

    Raises
    ------
    ValueError
        If there are no ids, one is not in the vocabulary, or they do not fit; or if
        the cache was made for another model.
    """
    pairs = predictions(model, ids, cache)
    scores = [log_softmax(logits)[token] for logits, token in pairs]
    return np.array(scores, np.float64)


def predictions(
    model: Model,
    ids: Sequence[int] | NDArray[np.integer[Any]],
    cache: KVCache | None = None,
) -> Iterator[tuple[F32, int]]:
    """Each token after the first, behind the logits (V,) that were to predict it."""
    last = check_ids(ids[-1:], model.config, None)
    if len(ids) == 1:
        return iter(())
    read = check_ids(ids[:-1], model.config, cache)
    cache = KVCache(model.config, capacity=len(read)) if cache is None else cache
    return _predictions(model, read, np.append(read[1:], last), cache)


def _predictions(
    model: Model, ids: I64, following: I64, cache: KVCache
) -> Iterator[tuple[F32, int]]:
    """The same, once all is known to be right: read a piece at a time."""
    for start in range(0, len(ids), PREFILL_TOKENS):
        piece = slice(start, start + PREFILL_TOKENS)
        logits = forward(model, ids[piece], cache)
        yield from zip(logits, following[piece].tolist(), strict=True)


def log_softmax(logits: F32) -> F64:
    """The logarithm of each token's probability.

    logits (V,) -> logprobs (V,)
    """
    shifted = logits.astype(np.float64) - logits.max()  # so that exp cannot overflow
    return shifted - np.log(np.exp(shifted).sum())


def bits(model: Model, ids: Sequence[int]) -> float:
    """What a text costs, all tokens but the first, as far as the context reaches."""
    ids = ids[: model.config.max_position_embeddings + 1]
    return -float(score(model, ids).sum()) / log(2)


def bits_per_byte(
    model: Model, tokenizer: Tokenizer, documents: Sequence[str]
) -> float:
    """What documents cost by the byte; of a long one, what the context holds."""
    end = tokenizer.encode(END_OF_TEXT)[-1]
    cost, size = 0.0, 0
    for document in progress(documents, "evaluating"):
        ids = [*tokenizer.encode(document), end]
        ids = ids[: model.config.max_position_embeddings + 1]
        cost += bits(model, ids)
        size += len(tokenizer.decode(ids).encode())  # without special tokens
    return cost / size
