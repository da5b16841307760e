"""Perplexity: among how many tokens a model hesitates, on average.

A model that gives the token that comes a probability of a quarter, each time, hesitates
as if among four. Perplexity is that number for a whole text, the geometric mean of one
over the probability. Runtimes of the same weights are compared by it: a wrong
activation, a lost scale or another way to split the text leaves sentences that read
well, and shows here at once.

Notes
-----
For the N tokens that are scored::

    perplexity = exp(mean of -log p)
    error      = perplexity * (standard deviation of log p) / sqrt(N)     by N - 1

The error is that of N independent draws, as every program states it; neighbours in a
text are not independent. Perplexity depends on the tokenizer, on the context and on
which tokens count, so two of them are comparable only where all three are the same. In
use are two rules:

- Chunks, as llama-perplexity cuts them: the text is cut every `context` tokens, the
  first token of each chunk is replaced by begin-of-text, and of the chunk's second half
  each token but the first is scored: 255 of 512. What is left at the end is dropped.
- A sliding window, as transformers documents it: windows of `context` tokens, each
  `stride` behind the one before; of each are scored the tokens that no window before
  it held. Every token of the text is scored once, but the first.

References
----------
Jelinek et al., Perplexity: a measure of the difficulty of speech recognition tasks,
1977; llama.cpp, tools/perplexity/perplexity.cpp; transformers, docs/perplexity.md.

Examples
--------
Probabilities of a half and an eighth: 4, the geometric mean of 2 and 8, and not 5, nor
one over the mean probability, which is 3.2.

>>> round(Estimate.of([np.log([1 / 2, 1 / 8])]).perplexity, 6)
4.0

Ten tokens in chunks of four and in windows of four, and how many of each are scored:

>>> for window in chunks(range(10, 20), context=4, bos_ids=[1]):
...     print(*window)
[1, 11, 12, 13] 1
[1, 15, 16, 17] 1
>>> for window in windows(range(10, 20), context=4, stride=3):
...     print(*window)
[10 11 12 13] 3
[13 14 15 16] 3
[16 17 18 19] 3
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from minibitnet.arrays import F64, I64
from minibitnet.cache import KVCache
from minibitnet.decode import next_logits
from minibitnet.evaluation.score import score
from minibitnet.model import Model, check_ids

LARGEST = math.log(1e300)  # of a mean; its perplexity is infinite


class Window(NamedTuple):
    """A text to read, and of how many of its last tokens the score counts."""

    ids: Sequence[int] | I64
    scored: int


class Estimate(NamedTuple):
    """What is known of a text's perplexity."""

    tokens: int
    nats: float  # -log p, on average
    error: float  # of that average, standard; NaN for a single token

    @classmethod
    def of(cls, logprobs: Iterable[F64]) -> "Estimate":
        """By the log-probabilities of some windows."""
        every = np.concatenate([*logprobs])
        N = len(every)
        spread = every.std(ddof=1) / math.sqrt(N) if N > 1 else math.nan
        return cls(N, -float(every.mean()), float(spread))

    @property
    def perplexity(self) -> float:
        """The geometric mean of one over the probability."""
        return math.exp(self.nats) if self.nats < LARGEST else math.inf

    @property
    def perplexity_error(self) -> float:
        """Its standard error."""
        return self.perplexity * self.error

    def __str__(self) -> str:
        known = not math.isnan(self.perplexity_error)
        error = f"{self.perplexity_error:.4f}" if known else "unknown"
        return f"{self.perplexity:.4f} +/- {error}"

    @property
    def bits(self) -> float:
        """What a token costs, on average."""
        return self.nats / math.log(2)


def chunks(ids: Sequence[int], context: int, bos_ids: Sequence[int]) -> list[Window]:
    """A text as llama-perplexity cuts it.

    Raises
    ------
    ValueError
        If the context is too short to score a token, or the text for one chunk.
    """
    first = context // 2
    scored = context - 1 - first
    least = max(3, 2 * len(bos_ids))
    if context < least:
        raise ValueError(f"context must be {least} or above, got {context}")
    if len(ids) < context:
        raise ValueError(
            f"the text must have a chunk of {context} tokens, got {len(ids)}: "
            "take a shorter context, or a stride"
        )
    starts = range(0, len(ids) - context + 1, context)
    rest = [ids[start + len(bos_ids) : start + context] for start in starts]
    return [Window([*bos_ids, *chunk], scored) for chunk in rest]


def windows(ids: Sequence[int], context: int, stride: int) -> list[Window]:
    """A text as seen through a sliding window; many share a token, none copies it.

    Raises
    ------
    ValueError
        If the windows would not overlap, or the text has no second token.
    """
    if not 0 < stride < context:
        raise ValueError(f"stride must be from 1 to {context - 1}, got {stride}")
    if len(ids) < 2:
        raise ValueError(f"the text must have 2 tokens, got {len(ids)}")
    text = np.asarray(ids)
    ends = [*range(context, len(ids), stride), len(ids)]
    seen = [1, *ends[:-1]]  # by the window before; the first token has no score
    return [
        Window(text[i * stride : end], end - before)
        for i, (end, before) in enumerate(zip(ends, seen, strict=True))
    ]


def score_end(model: Model, window: Window) -> F64:
    """The log-probabilities of the tokens that count; no others have logits made.

    anything -> logprobs (N,)
    """
    start = len(window.ids) - window.scored - 1
    cache = KVCache(model.config, len(window.ids) - 1)
    if start:
        next_logits(model, check_ids(window.ids[:start], model.config, cache), cache)
    return score(model, window.ids[start:], cache)
