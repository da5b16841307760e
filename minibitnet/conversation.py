"""Conversation: a chat that fits the context and reads nothing twice.

A chat model has no memory but its context: for each answer the whole conversation is
one text, from its first message on. Most of that text the model has read before, and
the cache still has its keys and values. So the text is compared with what was read, and
the model reads on from the first difference. A conversation that outgrows the context
loses its oldest turns; the system's message stays.

Notes
-----
A turn is a question and its answer. After turns were dropped the text differs from the
cache right behind the system's message, and all that follows is read again.

Examples
--------
Of a text of three tokens that changes in the last, one is read again; of one that is
the same, the last, since only reading gives logits.

>>> import numpy as np
>>> from minibitnet import bf16
>>> from minibitnet.config import Config
>>> from minibitnet.model import forward
>>> config = Config(hidden_size=2, intermediate_size=4, num_hidden_layers=0,
...     num_attention_heads=1, num_key_value_heads=1, head_dim=2, vocab_size=4,
...     max_position_embeddings=8, rope_theta=10000.0, rms_norm_eps=1e-5,
...     hidden_act="relu2", eos_token_ids=())
>>> E = bf16.narrow(np.ones((4, 2), np.float32))
>>> model = Model(config, E, layers=(), norm=np.ones(2, np.float32), lm_head=E)
>>> reader = Reader(model)
>>> for ids in ([1, 2, 3], [1, 2, 0], [1, 2, 0]):
...     unread = reader.turn_to(ids)
...     logits = forward(model, unread, reader.cache)
...     print(unread)
[1, 2, 3]
[0]
[0]
"""

from collections.abc import Iterable, Iterator, Sequence

from minibitnet.cache import KVCache
from minibitnet.model import Model
from minibitnet.text.controltokens import Message
from minibitnet.tokenizer import Tokenizer


class PromptTooLongError(ValueError):
    """A question that does not fit in the context."""


class Reader:
    """A model, and the text it has read."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.cache = KVCache(model.config, model.config.max_position_embeddings)
        self.ids: list[int] = []  # those in the cache, then some that are not yet

    def turn_to(self, ids: Sequence[int]) -> list[int]:
        """Take up another text: the cache keeps what is the same, the rest is left."""
        known = self.ids[: min(self.cache.length, len(ids) - 1)]
        same = 0
        while same < len(known) and known[same] == ids[same]:
            same += 1
        self.cache.truncate(same)
        self.ids = list(ids)
        return self.ids[same:]

    def note(self, tokens: Iterable[int]) -> Iterator[int]:
        """Pass new tokens on and remember them."""
        for token in tokens:
            self.ids.append(token)
            yield token


def fit(tokenizer: Tokenizer, messages: Sequence[Message], room: int) -> list[Message]:
    """The messages without the oldest turns, as many as fit in `room` tokens.

    Raises
    ------
    PromptTooLongError
        If the last question alone does not fit.
    """
    kept = list(messages)
    oldest = 1 if kept[0]["role"] == "system" else 0
    while (length := len(tokenizer.chat(kept))) > room:
        if len(kept) - oldest < 3:
            raise PromptTooLongError(
                f"the question takes {length} tokens, there is room for {room}"
            )
        del kept[oldest : oldest + 2]
    return kept
