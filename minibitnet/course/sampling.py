"""Exercises of notebook 12, how logits become a text."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from minibitnet.course.exercise import Exercise
from minibitnet.sampling import probabilities

Numbers = NDArray[np.float64]

rng = np.random.default_rng(12)
LOGITS = np.log(np.array([0.5, 0.1, 0.25, 0.15]))
MORE = 2 * rng.standard_normal((2, 9))
LOUD = np.array([4000.0, -900.0, 4001.0, 0.0])  # exp overflows, in float64 as well
FAINT = np.array([-900.0, -902.0, -899.0, -901.0])  # exp is 0


def probs(logits: Numbers, temperature: float, top_p: float) -> Numbers:
    """The right answer to `check_probs`."""
    return probabilities(logits.astype(np.float32), temperature, top_p=top_p)


def probs_multiplied(logits: Numbers, temperature: float, top_p: float) -> Numbers:
    """Multiplied by the temperature."""
    return probs(logits * temperature * temperature, temperature, top_p)


def probs_cut_first(logits: Numbers, temperature: float, top_p: float) -> Numbers:
    """The tail cut off before the temperature."""
    kept = probs(logits, 1.0, top_p) > 0
    return probs(np.where(kept, logits, -np.inf), temperature, 1.0)


def probs_uncut(logits: Numbers, temperature: float, top_p: float) -> Numbers:
    """The tail left on."""
    return probs(logits, temperature, 1.0)


def probs_of_temperature_one(
    logits: Numbers, temperature: float, top_p: float
) -> Numbers:
    """The temperature forgotten."""
    return probs(logits, 1.0, top_p)


def probs_of_the_least(logits: Numbers, temperature: float, top_p: float) -> Numbers:
    """Sorted the wrong way."""
    return _kept_in_order(lambda p: np.argsort(p), logits, temperature, top_p)


def probs_by_id(logits: Numbers, temperature: float, top_p: float) -> Numbers:
    """Not sorted."""
    return _kept_in_order(lambda p: np.arange(len(p)), logits, temperature, top_p)


def _kept_in_order(
    order_of: Callable[[Numbers], NDArray[np.int64]],
    logits: Numbers,
    temperature: float,
    top_p: float,
) -> Numbers:
    powers = probs(logits, temperature, 1.0)
    order = order_of(powers)
    before = np.cumsum(powers[order]) - powers[order]
    out = np.zeros_like(powers)
    out[order[before < top_p]] = powers[order[before < top_p]]
    return out / out.sum()


def probs_left_sorted(logits: Numbers, temperature: float, top_p: float) -> Numbers:
    """The most likely first, whatever its id."""
    return -np.sort(-probs(logits, temperature, top_p))


def probs_naive(logits: Numbers, temperature: float, top_p: float) -> Numbers:
    """Exponentials of large numbers."""
    powers = np.exp(logits / temperature)
    out = probs(logits, temperature, top_p)
    return out if 0 < powers.sum() < np.inf else np.full_like(out, np.nan)


def probs_by_mean(logits: Numbers, temperature: float, top_p: float) -> Numbers:
    """The mean taken off, or the smallest: what is far above it still overflows."""
    return probs_naive(logits - logits.mean(), temperature, top_p)


def probs_of_nothing(logits: Numbers, temperature: float, top_p: float) -> Numbers:
    """What a cut of NaN leaves."""
    return np.nan_to_num(probs_naive(logits, temperature, top_p))


def probs_cut_short(logits: Numbers, temperature: float, top_p: float) -> Numbers:
    """The token that reaches top_p left out."""
    powers = probs(logits, temperature, 1.0)
    order = np.argsort(-powers)
    kept = order[np.cumsum(powers[order]) <= top_p]
    out = np.zeros_like(powers)
    out[kept] = powers[kept]
    total = out.sum()
    return out / total if total else out


def probs_not_whole(logits: Numbers, temperature: float, top_p: float) -> Numbers:
    """They do not add up to one."""
    powers = probs(logits, temperature, 1.0)
    return np.where(probs(logits, temperature, top_p) > 0, powers, 0)


check_share = Exercise(
    right=2,
    mistakes={
        "One token has 0.5, which is less than 0.6. Take the next, too.": 1,
        "Two have 0.75 already, and that is enough.": 3,
    },
)
check_probs = Exercise(
    right=probs,
    mistakes={
        "You multiply by the temperature. Divide: below 1 it sharpens."
        "": probs_multiplied,
        "You cut before the temperature. First the temperature, then the cut."
        "": probs_cut_first,
        "You left the tail on. Keep the most likely until they make up top_p."
        "": probs_uncut,
        "You forgot the temperature. Divide the logits by it."
        "": probs_of_temperature_one,
        "You keep the least likely. Sort the other way round.": probs_of_the_least,
        "You cut in the order of the ids. Sort by probability first.": probs_by_id,
        "You left them sorted. Each probability goes back to the place of its token."
        "": probs_left_sorted,
        "exp of a large logit is infinity, and of a very small one 0. Take the largest "
        "off first: it changes nothing else.": (probs_naive, probs_of_nothing),
        "The largest logit may be far above the mean and the smallest, and exp of the "
        "rest is infinity. Take the largest off.": probs_by_mean,
        "You left out the token that reaches top_p. It is the last one kept."
        "": probs_cut_short,
        "What is kept must add up to one again.": probs_not_whole,
    },
    cases=[
        (LOGITS, 1.0, 0.6),
        (LOGITS, 0.5, 0.9),
        (LOGITS, 2.0, 0.8),
        (MORE[0], 0.7, 0.9),
        (MORE[1], 1.3, 0.3),
        (MORE[0], 1.5, 1.0),
        (LOUD, 1.0, 0.9),
        (FAINT, 0.8, 0.7),
    ],
)
