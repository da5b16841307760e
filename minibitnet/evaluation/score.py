"""Bits per byte: how well a model foretells text it has not seen.

A model that gives the next token the probability p could send it in ``log2(1 / p)``
bits. Added up over a text and divided by the bytes of the text, that is a measure which
does not depend on the tokenizer: 8 is knowing nothing, and every bit less is something
learned. It is taken with the model of inference, on whole documents, their end
included.

Examples
--------
A model without a block or a tokenizer of its own: its four tokens are equally likely,
so three that follow cost two bits each, which is 6 bits for a text of 3 bytes.

>>> from minibitnet.checkpoint.configfile import parse_config
>>> config = parse_config({"hidden_size": 2, "intermediate_size": 4, "vocab_size": 4,
...     "num_hidden_layers": 1, "num_attention_heads": 1, "hidden_act": "relu2"})
>>> zeros = np.zeros((4, 2), np.uint16)
>>> model = Model(config, zeros, layers=(), norm=np.ones(2, np.float32), lm_head=zeros)
>>> round(bits(model, [0, 1, 2, 3]), 4)
6.0
"""

from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from minibitnet.model import Model, forward
from minibitnet.tokenizer import Tokenizer
from minibitnet.training.loss import cross_entropy
from minibitnet.training.vocabulary import END_OF_TEXT


def bits(model: Model, ids: Sequence[int]) -> float:
    """What a text costs, all tokens but the first."""
    ids = ids[: model.config.max_position_embeddings + 1]
    nats, _ = cross_entropy(forward(model, ids[:-1]), np.array(ids[1:]))
    return float(nats / np.log(2))


def bits_per_byte(
    model: Model, tokenizer: Tokenizer, documents: Sequence[str], quiet: bool = True
) -> float:
    """What documents cost, by the byte."""
    end = tokenizer.encode(END_OF_TEXT)[-1]
    context = model.config.max_position_embeddings
    cost, size = 0.0, 0
    for document in tqdm(documents, "judging", disable=quiet, leave=False):
        ids = [*tokenizer.encode(document), end]
        cost += bits(model, ids)
        whole = len(ids) <= context + 1
        text = document if whole else tokenizer.decode(ids[: context + 1])
        size += len(text.encode())
    return cost / size
