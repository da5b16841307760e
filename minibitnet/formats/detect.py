"""Detect in which layout bytes are.

Nothing in the bytes says. But wrong layouts give themselves away, in three ways. Some
cannot be: a size that does not fit, a code that is never used, a scale that is no
number. Some give what no ternary matrix is: far more +1 than -1, or zeros that go by
the position in a byte. The others give a matrix with its rows and columns mixed up. In
a trained matrix some inputs and some outputs matter more than others, so its zeros are
not spread evenly over its columns and rows; mixing spreads them. So of all layouts that
can be, the one in which zeros are spread least evenly is the right one.

Notes
-----
With p the share of zeros in a matrix (M, N) and p_r that of row r, evenly spread zeros
have about M, give or take sqrt(2 M), for::

    chi2 = sum over rows of N (p_r - p)**2 / (p (1 - p))

So ``(chi2 - M) / sqrt(2 M)`` says by how many standard deviations rows differ more than
by chance; the same for columns, and for the share of +1 among what is not 0.
`structure` is the sum of the four. For weights drawn at random it is about 0 in any
layout: then bytes cannot tell, and `judge` says so.

Two layouts that differ in the order of whole columns or rows alone (I2_S with blocks of
128 and of 64; a byte of rows far apart and of neighbours) have the same sums. There
something known of the inputs or outputs in their true order decides, one number for
each: the gains of the norm before the matrix, or of the one behind it. `agreement` is
how far the shares of zeros go along with it, in standard deviations too.

All that is tried are `LAYOUTS` and `ORDERS`; of a layout that is not among them the
nearest may be named, or several that cannot be told apart.

Examples
--------
>>> rng = np.random.default_rng(0)
>>> alive = rng.random(512)  # of an input, how often it has a weight
>>> busy = rng.random((64, 1)) * alive > rng.random((64, 512))
>>> w_codes = (busy * rng.choice([-1, 1], (64, 512))).astype(np.int8)
>>> data = LAYOUTS["i2_s"].pack(w_codes, 0.5)
>>> for guess in detect(data, 64, 512)[:3]:
...     print(guess.layout, round(guess.score), guess.why)
i2_s 395 possible
i2_s_arm 395 possible
i2_s_rows 103 possible
>>> judge(detect(data, 64, 512))
Verdict(layouts=('i2_s', 'i2_s_arm'), sure=False, why='they cannot be told apart')
>>> judge(detect(data, 64, 512, inputs=alive.astype(np.float32))).layouts
('i2_s',)
>>> detect(LAYOUTS["tl1"].pack(w_codes), 64, 512)[-1].why
'data must hold three codes, got a fourth'
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from minibitnet.arrays import F16, F32, F64, I8, I64, U8
from minibitnet.formats import LAYOUTS, i2_s, tq1_0, tq2_0
from minibitnet.formats.other_orders import ORDERS

CLEAR = 10.0  # standard deviations by which the best must be ahead to be believed
FEWEST = 256  # bytes; fewer may look like a layout by chance
UNBALANCED = 0.2  # of +1 less -1, among those that are not 0; trained: below 0.05
UNLIKE = 0.02  # of -1 and +1, if 0 is as frequent as one of them
UNEVEN = 0.1  # between the shares of zeros at the positions of a byte, at most
TILED = ("tl1", "tl2")  # by bitnet.cpp, which no file says; here they are not
LARGEST_SCALE = 1e6  # of weights; the smallest is absmean's 1e-5, or its reciprocal


POSSIBLE = "possible"
# Where bytes hold rows and M is no multiple of 4, what stands for the missing rows is
# unlike all else, and makes a wrong order look better than the right one.
UNTRIED = (
    "possible, but other orders of rows are not tried where 4 does not divide them"
)


class Guess(NamedTuple):
    """What speaks for a layout."""

    layout: str
    possible: bool
    score: float  # standard deviations above chance; 0 where it is not possible
    why: str  # it is not possible, or what was not tried


class Verdict(NamedTuple):
    """Which layout it is."""

    layouts: tuple[str, ...]  # none, one, or those that cannot be told apart
    sure: bool
    why: str


def detect(
    data: U8,
    M: int,
    N: int,
    inputs: F32 | None = None,
    outputs: F32 | None = None,
) -> list[Guess]:
    """Every layout, the most likely first, those that cannot be last.

    data (n,), inputs (N,), outputs (M,)

    M and N are the rows and columns of the matrix; `inputs` is something known of each
    column, in the true order, and `outputs` of each row.
    """
    guesses = []
    for name, unpack in READINGS.items():
        try:
            w_codes = unpack(data, M, N)
            check_scales(name, data, M, N)
            check_ternary(w_codes)
        except ValueError as error:
            guesses.append(Guess(name, False, 0.0, str(error)))
            continue
        score = structure(w_codes)
        if inputs is not None:
            score += agreement(w_codes, inputs)
        if outputs is not None:
            score += agreement(w_codes.T, outputs)
        why = UNTRIED if name == "packed" and M % 4 else POSSIBLE
        guesses.append(Guess(name, True, score, why))
    return in_order(guesses)


def in_order(guesses: list[Guess]) -> list[Guess]:
    """The most likely first."""
    return sorted(guesses, key=lambda guess: (not guess.possible, -guess.score))


def pool(matrices: Sequence[Sequence[Guess]]) -> list[Guess]:
    """Of several matrices in one layout: possible where it is for all of them."""
    by_name: dict[str, list[Guess]] = {name: [] for name in READINGS}
    for guesses in matrices:
        for guess in guesses:
            by_name[guess.layout].append(guess)
    pooled = []
    for name, guesses in by_name.items():
        total = sum(guess.score for guess in guesses) / np.sqrt(len(guesses))
        bad = next((guess for guess in guesses if not guess.possible), None)
        why = max(guess.why for guess in guesses)  # UNTRIED, if it is said of one
        pooled.append(bad or Guess(name, True, float(total), why))
    return in_order(pooled)


def judge(guesses: Sequence[Guess], size: int = FEWEST) -> Verdict:
    """Which layout it is, and how sure that is, of so many bytes."""
    possible = [guess for guess in guesses if guess.possible]
    if not possible:
        return Verdict((), False, "no layout known here gives a ternary matrix")
    best = possible[0]
    near = [guess for guess in possible if best.score - guess.score < CLEAR]
    near.sort(key=lambda guess: guess.layout in ORDERS)  # what formats have comes first
    layouts = tuple(guess.layout for guess in near)
    if size < FEWEST:
        return Verdict(layouts, False, f"{size} bytes are too few to tell")
    if len(near) > 1:
        return Verdict(layouts, False, "they cannot be told apart")
    if len(possible) > 1:
        ahead = f"{best.score - possible[1].score:.0f} standard deviations"
        why = f"its rows and columns differ most, {ahead} ahead of the next"
        return Verdict(layouts, True, why)
    return _judge_alone(best)


def _judge_alone(best: Guess) -> Verdict:
    """The verdict where nothing else is possible: of the order that says nothing."""
    layouts, why = (best.layout,), "nothing else is possible"
    if best.why == UNTRIED:
        return Verdict(layouts, False, UNTRIED)
    if best.layout in TILED:
        return Verdict(layouts, False, f"{why}, but in files it is in unknown tiles")
    if best.score < CLEAR:
        why += "; rows and columns are too even to say that their order is right"
    return Verdict(layouts, True, why)


def check_ternary(w_codes: I8) -> None:
    """A ValueError if it is no ternary matrix that anybody trained or drew.

    w_codes (M, N) -> nothing
    """
    minus, zero, plus = (np.count_nonzero(w_codes == code) for code in (-1, 0, 1))
    apart, used, size = abs(plus - minus), plus + minus, max(1, w_codes.size)
    if not used or apart > UNBALANCED * used + 4 * np.sqrt(used):
        raise ValueError(f"the codes are out of balance: {minus} of -1, {plus} of +1")
    beyond = apart - UNLIKE * size - 4 * np.sqrt(size)  # what chance may do
    if 3 * min(abs(zero - minus), abs(zero - plus)) < beyond:
        raise ValueError(f"another code looks like 0: {minus}, {zero}, {plus}")
    _check_even(w_codes)


def _check_even(w_codes: I8) -> None:
    """A ValueError if rows or columns are all the same, or go by threes, fours, fives.

    w_codes (M, N) -> nothing
    """
    same = (w_codes == w_codes[:1]).all(), (w_codes == w_codes[:, :1]).all()
    if min(w_codes.shape) > 1 and any(same):
        raise ValueError("all rows or all columns are the same")
    zeros = (w_codes == 0).mean(axis=0)
    for apart in (3, 4, 5):  # weights that share a byte, where these are neighbours
        shares = [zeros[start::apart].mean() for start in range(min(apart, len(zeros)))]
        noise = 4 / np.sqrt(w_codes.size / apart)
        if max(shares) - min(shares) > UNEVEN + noise:
            raise ValueError(f"the zeros go by the position among {apart} neighbours")


def check_scales(layout: str, data: U8, M: int, N: int) -> None:
    """A ValueError if the scales of a layout are not those of a ternary matrix."""
    if layout not in SCALES:
        return
    scales = SCALES[layout](data, M, N).astype(np.float32)
    if not (np.isfinite(scales) & (scales >= 0) & (scales < LARGEST_SCALE)).all():
        raise ValueError("a scale is no number from 0 to a million")
    used = np.where(scales == 0, scales.max(axis=1, keepdims=True), scales)
    if (used != used[:, :1]).any():
        raise ValueError("the blocks of a row have different scales")
    if not scales.any():
        raise ValueError("all scales are 0")


def _scale_of_i2_s(data: U8, M: int, N: int) -> F32:
    """The one scale: data (n,) -> scales (1, 1)."""
    return np.array([[i2_s.unpack_scale(data)]], np.float32)


READINGS: dict[str, Callable[[U8, int, int], I8]] = {
    name: layout.unpack for name, layout in LAYOUTS.items()
} | ORDERS
SCALES: dict[str, Callable[[U8, int, int], F16 | F32]] = {
    **dict.fromkeys(("i2_s", "i2_s_arm", "i2_s_rows"), _scale_of_i2_s),
    "tq2_0": tq2_0.unpack_scales,
    "tq1_0": tq1_0.unpack_scales,
}


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

    By the correlation r of their ranks, in standard deviations: atanh(r) sqrt(N - 3).
    """
    zeros = _ranks((w_codes == 0).sum(axis=0).astype(np.float32))
    r = min(abs(float(np.mean(zeros * _ranks(inputs)))), 1 - 1e-9)
    return float(np.arctanh(r) * np.sqrt(max(0, inputs.size - 3)))


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
