"""Exercises of notebook 12, how logits become a text."""

import numpy as np
from numpy.typing import NDArray

from minibitnet.course.exercise import Exercise
from minibitnet.sampling import probabilities

Numbers = NDArray[np.float64]

LOGITS = np.log(np.array([0.5, 0.1, 0.25, 0.15]))


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
        "You left out the token that reaches top_p. It is the last one kept."
        "": probs_cut_short,
        "What is kept must add up to one again.": probs_not_whole,
    },
    cases=[(LOGITS, 1.0, 0.6), (LOGITS, 0.5, 0.9), (LOGITS, 2.0, 0.8)],
)
