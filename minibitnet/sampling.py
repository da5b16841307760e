"""Sampling: from logits to one token id.

The logits rank all tokens. Taking the first is greedy: the same text every time, and
often the same phrase again and again. Sampling draws instead. Temperature sharpens
(below 1) or flattens (above 1) the probabilities; top-k and top-p cut off the unlikely
tail, by number and by probability mass.

Notes
-----
In this order::

    probs = softmax(logits / temperature)
    top-k   keep the k most likely; 0 keeps all
    top-p   of those, keep the most likely until they sum to p; 1 keeps all
    draw from what is kept, by probability

Temperature 0 is greedy. Among equals the lowest id goes first. The draw is in float64.

References
----------
Fan et al., Hierarchical Neural Story Generation, 2018, arXiv 1805.04833 (top-k);
Holtzman et al., The Curious Case of Neural Text Degeneration, 2019, arXiv 1904.09751
(top-p).

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

    def __post_init__(self) -> None:
        """Refuse what has no meaning."""
        if not 0 <= self.temperature < math.inf:
            raise ValueError(f"temperature must be 0 or above, got {self.temperature}")
        if self.top_k < 0:
            raise ValueError(f"top_k must be 0 or above, got {self.top_k}")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p must be above 0 and at most 1, got {self.top_p}")


def sample(logits: F32, sampling: Sampling, rng: np.random.Generator) -> int:
    """One token id, drawn from `rng` unless the temperature is 0.

    logits (V,) -> token ()
    """
    if not np.isfinite(logits.max()):  # NaN anywhere makes the largest NaN
        raise ValueError(f"logits must be finite, got {logits.max()}")
    if sampling.temperature == 0:
        return int(logits.argmax())
    probs = probabilities(logits, sampling.temperature, sampling.top_k, sampling.top_p)
    return int(rng.choice(len(probs), p=probs))


def probabilities(
    logits: F32, temperature: float, top_k: int = 0, top_p: float = 1.0
) -> F64:
    """The probability of each token; zero where the tail was cut.

    logits (V,) -> probs (V,)
    """
    with np.errstate(over="ignore"):  # -inf, if the temperature is next to nothing
        scaled = (logits.astype(np.float64) - logits.max()) / temperature
    order = np.argsort(-scaled, kind="stable")  # the most likely first
    if top_k:
        order = order[:top_k]
    powers = np.exp(scaled[order])
    powers /= powers.sum()
    before = np.cumsum(powers) - powers  # the mass of those more likely
    kept = (before < top_p) | (top_p == 1)
    probs = np.zeros(len(logits))
    probs[order[kept]] = powers[kept]
    return probs / probs.sum()
