import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from minibitnet.sampling import Sampling, penalize, probabilities, sample

# Some equal, none so near that float64 confuses them or so unlikely as to be 0
LOGITS = arrays(
    np.float32,
    st.integers(1, 30),
    elements=st.integers(-3, 3) | st.floats(-30, 30, width=16),
)
TEMPERATURES = st.floats(0.1, 100)
SHARES = st.floats(0, 1, exclude_min=True)


def plain_odds(logits, temperature):
    """Of each token, next to the most likely."""
    largest = max(logits.tolist())
    return [math.exp((logit - largest) / temperature) for logit in logits.tolist()]


@given(LOGITS, TEMPERATURES)
def test_probabilities_are_the_softmax_at_a_temperature(logits, temperature):
    odds = np.array(plain_odds(logits, temperature))
    probs = probabilities(logits, temperature)
    assert probs.dtype == np.float64
    assert_allclose(probs, odds / odds.sum(), rtol=1e-12)


@given(LOGITS, TEMPERATURES, st.integers(1, 35))
def test_top_k_keeps_the_k_most_likely(logits, temperature, top_k):
    odds = plain_odds(logits, temperature)
    # Of two equal logits the lower id goes first.
    ranking = sorted(range(len(logits)), key=lambda token: (-logits[token], token))
    cut = np.zeros(len(logits))
    cut[ranking[:top_k]] = [odds[token] for token in ranking[:top_k]]
    probs = probabilities(logits, temperature, top_k)
    assert_allclose(probs, cut / cut.sum(), rtol=1e-12)


@given(LOGITS, TEMPERATURES, st.integers(0, 35), SHARES)
def test_top_p_keeps_no_more_than_make_up_the_share(logits, temperature, top_k, top_p):
    before = np.sort(probabilities(logits, temperature, top_k))[::-1]
    probs = np.sort(probabilities(logits, temperature, top_k, top_p))[::-1]
    kept = np.count_nonzero(probs)
    share = before[:kept].sum()
    rounding = 1e-12
    assert share >= top_p - rounding
    assert share - before[kept - 1] < top_p + rounding  # without the last: too little
    assert_allclose(probs[:kept], before[:kept] / share, rtol=1e-12)


@pytest.mark.parametrize(
    ("top_k", "top_p", "kept"),
    [(0, 1, 4), (0, 0.76, 4), (0, 0.75, 3), (0, 0.5, 2), (0, 0.25, 1), (0, 1e-9, 1)]
    + [(1, 1, 1), (3, 1, 3), (9, 1, 4), (2, 0.5, 1), (2, 0.51, 2)],
)
def test_of_four_equals_the_first_are_kept(top_k, top_p, kept):
    probs = probabilities(np.ones(4, np.float32), 1.0, top_k, top_p)
    assert_array_equal(probs, [1 / kept] * kept + [0] * (4 - kept))


@pytest.mark.parametrize("temperature", [1e-250, 1e-9, 1])
def test_scores_far_apart_leave_the_most_likely_alone(temperature):
    logits = np.array([-1e38, 1e38, 0], np.float32)
    assert_array_equal(probabilities(logits, temperature), [0.0, 1.0, 0.0], strict=True)


@given(LOGITS)
def test_greedy_takes_the_first_of_the_most_likely(logits):
    token = sample(logits, Sampling(), np.random.default_rng(0))
    assert type(token) is int
    assert token == logits.tolist().index(max(logits))


def test_draws_are_as_frequent_as_likely():
    logits, n = np.log(np.float32([0.5, 0.05, 0.3, 0.15])), 20_000
    rng = np.random.default_rng(0)
    tokens = [sample(logits, Sampling(2.0, 3, 0.99), rng) for _ in range(n)]
    probs = np.sqrt([0.5, 0, 0.3, 0.15]) / np.sqrt([0.5, 0.3, 0.15]).sum()
    # Four standard deviations; the seed is fixed, so this does not vary.
    bound = 4 * np.sqrt(probs * (1 - probs) / n)
    assert (abs(np.bincount(tokens, minlength=4) / n - probs) <= bound).all()


def test_the_same_seed_draws_the_same_tokens():
    logits = np.zeros(1000, np.float32)
    first, again, other = (
        [sample(logits, Sampling(1.0), rng) for _ in range(5)]
        for rng in map(np.random.default_rng, (7, 7, 8))
    )
    assert first == again != other


@given(LOGITS, st.integers(0, 35), SHARES, st.floats(0, 1))
def test_min_p_keeps_what_is_not_too_far_below_the_most_likely(
    logits, top_k, top_p, min_p
):
    before = probabilities(logits, 1.0, top_k, top_p)
    found = probabilities(logits, 1.0, top_k, top_p, min_p)
    kept, rounding = found > 0, 1e-12
    assert (before[kept] >= min_p * before.max() - rounding).all()
    assert (before[~kept] <= min_p * before.max() + rounding).all()
    assert kept[before.argmax()]
    assert_allclose(found[kept], before[kept] / before[kept].sum(), rtol=1e-12)


@given(
    logits=LOGITS,
    penalty=st.floats(1, 10, width=32),
    data=st.data(),
)
def test_a_penalty_makes_what_is_in_the_text_less_likely(logits, penalty, data):
    seen = data.draw(st.lists(st.integers(0, len(logits) - 1), max_size=5))
    before = logits.copy()
    found = penalize(logits, seen, penalty)
    assert_array_equal(logits, before)
    for i, logit in enumerate(logits):
        if i not in seen:
            assert found[i] == logit
        elif logit > 0:
            assert found[i] == logit / np.float32(penalty)
        else:
            assert found[i] == logit * np.float32(penalty)
    assert_array_equal(penalize(logits, seen, 1.0), logits, strict=True)


@pytest.mark.parametrize(
    ("name", "value", "rule"),
    [("temperature", value, "0 or above") for value in (-0.1, math.inf, math.nan)]
    + [("top_k", -1, "0 or above")]
    + [("min_p", value, "from 0 to 1") for value in (-0.1, 1.1, math.nan)]
    + [("repetition_penalty", value, "from 1 to 10") for value in (0.9, 11, math.nan)]
    + [("top_p", value, "above 0 and at most 1") for value in (0, -0.5, 1.1, math.nan)],
)
def test_what_has_no_meaning_is_refused(name, value, rule):
    with pytest.raises(ValueError, match=f"^{name} must be {rule}, got {value}"):
        Sampling(**{name: value})


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_logits_that_are_not_numbers_are_refused(temperature, wrong):
    logits = np.float32([0, wrong, 1])
    with pytest.raises(ValueError, match="logits must be finite, got"):
        sample(logits, Sampling(temperature), np.random.default_rng(0))
