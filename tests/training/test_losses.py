import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from slopes import ATOL, RTOL, SEEDS, SIZES, slope

from minibitnet.evaluation.score import log_softmax
from minibitnet.training.losses import cross_entropy


def draw(rng, T, V):
    return 3 * rng.standard_normal((T, V)), rng.integers(0, V, T)


@pytest.mark.parametrize("weighed", [False, True])
@given(seed=SEEDS, T=SIZES, V=SIZES)
def test_the_gradient_of_the_loss_is_its_slope(weighed, seed, T, V):
    rng = np.random.default_rng(seed)
    logits, targets = draw(rng, T, V)
    weights = rng.integers(0, 4, T) / 2 if weighed else None
    direction = rng.standard_normal((T, V))
    _, back_loss = cross_entropy(logits, targets, weights)
    found = (back_loss(0.5) * direction).sum()
    expected = slope(
        lambda x: 0.5 * cross_entropy(x, targets, weights)[0], logits, direction
    )
    assert_allclose(found, expected, rtol=RTOL, atol=ATOL * T)


@given(seed=SEEDS, T=SIZES, V=SIZES)
def test_the_loss_is_minus_the_log_probability_that_inference_gives(seed, T, V):
    rng = np.random.default_rng(seed)
    logits, targets = draw(rng, T, V)
    narrow = logits.astype(np.float32)
    logits, weights = narrow.astype(np.float64), rng.integers(0, 4, T)
    pairs = zip(narrow, targets, strict=True)
    costs = [-log_softmax(of_token)[target] for of_token, target in pairs]
    assert_allclose(cross_entropy(logits, targets)[0], sum(costs), atol=1e-12)
    loss, _ = cross_entropy(logits, targets, weights)
    assert_allclose(loss, weights @ costs, atol=1e-12)


@given(seed=SEEDS, T=SIZES, V=SIZES, data=st.data())
def test_a_token_of_weight_zero_might_as_well_not_be_there(seed, T, V, data):
    logits, targets = draw(np.random.default_rng(seed), T, V)
    counts = np.array(data.draw(st.lists(st.booleans(), min_size=T, max_size=T)))
    loss, back_loss = cross_entropy(logits, targets, counts)
    expected, expected_back = cross_entropy(logits[counts], targets[counts])
    assert_allclose(loss, expected, rtol=1e-12)
    gradient = back_loss(1.0)
    assert_allclose(gradient[counts], expected_back(1.0), rtol=1e-12)
    assert not gradient[~counts].any()


def test_logits_too_large_for_exp_cost_what_they_should():
    loss, back_loss = cross_entropy(np.float32([[2000, 0, 1000]]), np.array([2]))
    assert loss == 1000
    assert_array_equal(back_loss(1.0), np.float32([[1, 0, -1]]), strict=True)


def test_what_is_passed_in_stays_as_it_is():
    logits, targets = draw(np.random.default_rng(0), 3, 4)
    before = logits.copy()
    _, back_loss = cross_entropy(logits, targets)
    first = back_loss(1.0)
    assert_array_equal(back_loss(1.0), first)  # called again, it gives the same
    assert_array_equal(logits, before)
