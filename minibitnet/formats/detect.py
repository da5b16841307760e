"""Detect in which layout bytes are.

Nothing in the bytes says. But wrong layouts give themselves away, in two ways. Some
cannot be: a size that does not fit, a code that is never used. The others give a matrix
with its rows and columns mixed up. In a trained matrix some inputs and some outputs
matter more than others, so its zeros are not spread evenly over its columns and rows;
mixing spreads them. So of all layouts that can be, the one in which zeros are spread
least evenly is the right one.

Notes
-----
With p the share of zeros in a matrix (M, N) and p_r that of row r, evenly spread zeros
have about M, give or take sqrt(2 M), for::

    chi2 = sum over rows of N (p_r - p)**2 / (p (1 - p))

So ``(chi2 - M) / sqrt(2 M)`` says by how many standard deviations rows differ more than
by chance; the same for columns, and for the share of +1 among what is not 0.
`structure` is the sum of the four. For weights drawn at random it is about 0 in any
layout: then bytes cannot tell, and `detect` says so.

I2_S with blocks of 128 and of 64 differ in the order of columns alone, which no sum
over rows or columns shows. There something known of the inputs in their true order
decides, one number for each column: for ``ffn_down`` the share of zeros in each row of
``ffn_up``, for the others the gains of the norm before it. `agreement` is how far the
shares of zeros go along with it, in standard deviations too.

Examples
--------
>>> rng = np.random.default_rng(0)
>>> alive = rng.random(512)  # of an input, how often it has a weight
>>> busy = rng.random((64, 1)) * alive > rng.random((64, 512))
>>> w_codes = (busy * rng.choice([-1, 1], (64, 512))).astype(np.int8)
>>> data = LAYOUTS["i2_s"].pack(w_codes, 0.5)
>>> for guess in detect(data, 64, 512)[:3]:
...     print(guess.layout, round(guess.score), guess.why)
i2_s 395 cannot be told from i2_s_arm
i2_s_arm 395 less structure
i2_s_rows 103 less structure
>>> for guess in detect(data, 64, 512, inputs=alive.astype(np.float32))[:3]:
...     print(guess.layout, round(guess.score), guess.why)
i2_s 416 most structure
i2_s_arm 399 less structure
i2_s_rows 104 less structure
>>> detect(LAYOUTS["tl1"].pack(w_codes), 64, 512)[-1].why
'data must be 6592 bytes, got shape (8192,)'
"""

from typing import NamedTuple

import numpy as np

from minibitnet.arrays import F32, F64, I8, I64, U8
from minibitnet.formats import LAYOUTS

CLEAR = 10.0  # standard deviations by which the best must be ahead to be believed


class Guess(NamedTuple):
    """What speaks for a layout."""

    layout: str
    possible: bool
    score: float  # standard deviations above chance; 0 where it is not possible
    why: str


def detect(data: U8, M: int, N: int, inputs: F32 | None = None) -> list[Guess]:
    """Every layout, the most likely first, those that cannot be last.

    data (n,), inputs (N,)

    M and N are the rows and columns of the matrix; `inputs` is something known of each
    column, in the true order.
    """
    guesses = []
    for name, layout in LAYOUTS.items():
        try:
            w_codes = layout.unpack(data, M, N)
        except ValueError as error:
            guesses.append(Guess(name, False, 0.0, str(error)))
            continue
        score = structure(w_codes)
        if inputs is not None:
            score += agreement(w_codes, inputs)
        guesses.append(Guess(name, True, score, "less structure"))
    guesses.sort(key=lambda guess: (not guess.possible, -guess.score))
    best, *others = guesses
    if best.possible:
        guesses[0] = best._replace(why=_why(best, others))
    return guesses


def _why(best: Guess, others: list[Guess]) -> str:
    """Why the first is the first, and how sure that is."""
    rivals = [guess for guess in others if guess.possible]
    if not rivals:
        return "no other is possible"
    if best.score - rivals[0].score < CLEAR:
        return f"cannot be told from {rivals[0].layout}"
    return "most structure"


def structure(w_codes: I8) -> float:
    """How unevenly zeros and signs are spread, in standard deviations: w_codes (M, N).

    The weights of a trained matrix have some hundreds, drawn at random about 0.
    """
    zeros, ones = w_codes == 0, w_codes == 1
    total = 0.0
    for axis in (0, 1):
        counts = np.full(w_codes.shape[1 - axis], float(w_codes.shape[axis]))
        total += _spread(zeros.sum(axis=axis), counts)
        total += _spread(ones.sum(axis=axis), counts - zeros.sum(axis=axis))
    return total


def agreement(w_codes: I8, inputs: F32) -> float:
    """How far the columns' shares of zeros rise or fall with something known of them.

    w_codes (M, N), inputs (N,)

    By the correlation of ranks, in standard deviations.
    """
    zeros = _ranks((w_codes == 0).sum(axis=0).astype(np.float32))
    return float(abs(np.mean(zeros * _ranks(inputs))) * np.sqrt(inputs.size))


def _ranks(values: F32) -> F64:
    """Each value's rank among all, with mean 0 and variance 1.

    values (n,) -> ranks (n,)
    """
    ranks = np.argsort(np.argsort(values, kind="stable"), kind="stable")
    return (ranks - ranks.mean()) / max(ranks.std(), 1e-9)


def _spread(found: I64, counts: F64) -> float:
    """How far shares found of counts differ from one share for all, beyond chance.

    found (n,), counts (n,)
    """
    p = found.sum() / max(1.0, counts.sum())
    if not 0 < p < 1:
        return 0.0
    used = counts > 0
    chi2 = ((found[used] - p * counts[used]) ** 2 / counts[used]).sum() / (p * (1 - p))
    return float((chi2 - used.sum()) / np.sqrt(2 * used.sum()))
