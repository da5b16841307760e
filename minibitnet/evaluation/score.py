"""Bits per byte: how well a model predicts text it has not seen.

A model that gives the next token the probability p could send it in ``log2(1 / p)``
bits. Added up over a text and divided by the bytes of the text, that is a measure which
does not depend on the tokenizer: 8 is knowing nothing, and every bit less is something
learned. It is taken with the model of inference, on whole documents, their end
included.

Notes
-----
For logits l and the token y that came, ``log(p) = l[y] - log(sum(exp(l)))``, in nats
(divided by ``log(2)``, bits). The sum is float64, as all sums of inference are.

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
"""

from collections.abc import Sequence
from math import log

import numpy as np

from minibitnet.arrays import F32, F64
from minibitnet.files.progress import progress
from minibitnet.model import Model, forward
from minibitnet.tokenizer import END_OF_TEXT, Tokenizer


def score(model: Model, ids: Sequence[int]) -> F64:
    """The log-probability, in nats, of each token after the first.

    ids (T + 1,) -> logprobs (T,)
    """
    pairs = zip(forward(model, ids[:-1]), ids[1:], strict=True)
    return np.array([log_softmax(logits)[token] for logits, token in pairs])


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
