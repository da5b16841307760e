"""Sampling: from logits to one token id.

The logits rank all tokens. Taking the first is greedy: the same text every time, and
often the same phrase again and again. Sampling draws instead. Temperature sharpens
(below 1) or flattens (above 1) the probabilities; top-k, top-p and min-p cut off the
unlikely tail, by number, by probability mass and by how the most likely token compares.
A repetition penalty makes less likely what is in the text already.

Notes
-----
In this order::

    penalty  of tokens in the text, logits above 0 are divided by it, others multiplied
    probs = softmax(logits / temperature)
    top-k    keep the k most likely; 0 keeps all
    top-p    of those, keep the most likely until they sum to p; 1 keeps all
    min-p    of those, keep what has p times the probability of the most likely, or more
    draw from what is kept, by probability

Temperature 0 is greedy, behind the penalty. Among equals the lowest id goes first. The
draw is in float64. How often a token is in the text makes no difference to the penalty,
and a penalty of 1 does nothing. Logits far below the largest are float32 sums (see
`minibitnet.kernels.head`): where such a one wins, which is only by a penalty or a draw,
another machine may in rare cases take another token.

References
----------
Fan et al., Hierarchical Neural Story Generation, 2018, arXiv 1805.04833 (top-k);
Holtzman et al., The Curious Case of Neural Text Degeneration, 2019, arXiv 1904.09751
(top-p); Nguyen et al., Turning Up the Heat, 2024, arXiv 2407.01082 (min-p); Keskar et
al., CTRL, 2019, arXiv 1909.05858, section 4.1 (the penalty; below 0 as transformers).

Examples
--------
Probabilities 0.5, 0.1, 0.4. The first token alone is enough for 0.4; 0.6 takes two.

>>> logits = np.log(np.array([0.5, 0.1, 0.4], np.float32))
>>> probabilities(logits, temperature=1.0, top_p=0.4).round(3)
array([1., 0., 0.])
>>> probabilities(logits, temperature=1.0, top_p=0.6).round(3)
array([0.556, 0.   , 0.444])
>>> probabilities(logits, temperature=0.5).round(3)
array([0.595, 0.024, 0.381])

0.4 is four fifths of 0.5, whatever their sum is; and the first token is in the text:

>>> probabilities(logits, temperature=1.0, min_p=0.8).round(3)
array([0.556, 0.   , 0.444])
>>> penalize(np.array([4, 3, -2], np.float32), [0, 2, 0], penalty=2.0)
array([ 2.,  3., -4.], dtype=float32)
"""

import math
from dataclasses import dataclass

import numpy as np

from minibitnet.arrays import F32, F64


@dataclass(frozen=True)
class Sampling:
    """How to choose a token."""

    temperature: float = 0.0  # 0 is greedy
    top_k: int = 0  # 0 keeps all
    top_p: float = 1.0  # 1 keeps all
    min_p: float = 0.0  # 0 keeps all
    repetition_penalty: float = 1.0  # 1 is none

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature must be 0 or above, got {self.temperature}")
        if self.top_k < 0:
            raise ValueError(f"top_k must be 0 or above, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")
        if not 0 <= self.min_p <= 1:
            raise ValueError(f"min_p must be from 0 to 1, got {self.min_p}")
        if not 1 <= (penalty := self.repetition_penalty) <= 10:
            raise ValueError(f"repetition_penalty must be from 1 to 10, got {penalty}")


def sample(logits: F32, how: Sampling, rng: np.random.Generator) -> int:
    """One token id, drawn from `rng` unless the temperature is 0.

    logits (V,) -> token ()
    """
    if not np.isfinite(logits.max()):  # NaN anywhere makes the largest NaN
        raise ValueError(f"logits must be finite, got {logits.max()}")
    if how.temperature == 0:
        return int(logits.argmax())
    probs = probabilities(logits, how.temperature, how.top_k, how.top_p, how.min_p)
    return int(rng.choice(len(probs), p=probs))


def penalize(logits: F32, seen: list[int], penalty: float) -> F32:
    """Make less likely what is in the text.

    logits (V,) -> logits (V,)
    """
    if penalty == 1:
        return logits
    penalized, again = logits.copy(), logits[seen]
    penalized[seen] = np.where(again > 0, again / penalty, again * penalty)
    return penalized


def probabilities(
    logits: F32, temperature: float, top_k: int = 0, top_p: float = 1, min_p: float = 0
) -> F64:
    """The probability of each token; zero where the tail was cut.

    logits (V,) -> probs (V,)
    """
    with np.errstate(over="ignore"):  # -inf, if the temperature is next to nothing
        scaled = (logits.astype(np.float64) - logits.max()) / temperature
    order = np.argsort(-scaled, kind="stable")[: top_k or None]  # the likeliest first
    powers = np.exp(scaled[order])
    powers /= powers.sum()
    before = np.cumsum(powers) - powers  # the mass of those more likely
    kept = ((before < top_p) | (top_p == 1)) & (powers >= min_p * powers[0])
    probs = np.zeros(len(logits))
    probs[order[kept]] = powers[kept]
    return probs / probs.sum()
