"""The schedule: how the learning rate and the weight decay change over a training.

Ternary training likes a high rate: masters must travel far before a code changes. And
it likes a quiet end: while codes keep flipping, the loss cannot settle. So there are
two stages. The first starts a cosine from a high peak; halfway the rate drops at once
to a much lower peak, from which a second cosine goes to zero. Weight decay rises in the
first stage and is off in the second.

Notes
-----
With n the part of the training that is done, from 0 to 1::

    n < 1/2     rate  = high * (1 + cos(pi * n)) / 2
                decay = peak * (1 - cos(2 * pi * n)) / 2
    n >= 1/2    rate  = low * (1 + cos(pi * (2 * n - 1))) / 2
                decay = 0

At the very beginning the rate rises in proportion for some steps (warm-up). The report
gives the shape; its numbers are not published.

References
----------
Ma et al., BitNet b1.58 2B4T Technical Report, 2025, arXiv 2504.12285, section 3.1.

Examples
--------
>>> schedule = Schedule(steps=100, warmup=0, high=1.0, low=0.4, peak_decay=0.1)
>>> [round(schedule.rate(step), 3) for step in (0, 25, 49, 50, 75, 99)]
[1.0, 0.854, 0.516, 0.4, 0.2, 0.0]
>>> [round(schedule.decay(step), 3) for step in (0, 25, 49, 50, 75)]
[0.0, 0.05, 0.1, 0.0, 0.0]
"""

from dataclasses import dataclass
from math import cos, inf, pi


def require(holds: bool, name: str, expected: str, found: object) -> None:
    """Refuse a number that has no meaning; NaN has none anywhere."""
    if not holds:
        raise ValueError(f"{name} must be {expected}, got {found!r}")


@dataclass(frozen=True)
class Schedule:
    """Two stages, each of half the steps; a ValueError names what cannot be."""

    steps: int  # in all
    warmup: int  # steps in which the rate rises
    high: float  # the peak of the learning rate in the first stage
    low: float  # and in the second
    peak_decay: float  # at the end of the first stage

    def __post_init__(self) -> None:
        require(self.steps >= 1, "steps", "1 or more", self.steps)
        require(self.warmup >= 0, "warmup", "0 or more", self.warmup)
        require(0 < self.high < inf, "high", "above 0", self.high)
        require(0 <= self.low < inf, "low", "0 or more", self.low)
        decay = self.peak_decay
        require(0 <= decay < inf, "peak_decay", "0 or more", decay)

    def rate(self, step: int) -> float:
        """The learning rate of a step, numbered from 0."""
        done = step / self.steps  # n
        if done >= 1 / 2:
            return self.low * (1 + cos(pi * (2 * done - 1))) / 2
        warm = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return warm * self.high * (1 + cos(pi * done)) / 2

    def decay(self, step: int) -> float:
        """The weight decay of a step, numbered from 0."""
        done = step / self.steps
        return self.peak_decay * (1 - cos(2 * pi * done)) / 2 if done < 1 / 2 else 0.0
