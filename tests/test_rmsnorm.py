import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from strategies import MODERATE, TOKENS

from minibitnet.rmsnorm import rms_norm

ROWS = arrays(np.float32, TOKENS, elements=MODERATE)


def gains(N):
    """Different from one another, of both signs."""
    return np.linspace(-1, 2, N, dtype=np.float32)


@given(ROWS, st.sampled_from([1e-5, 1e-6]))
def test_a_token_is_divided_by_its_root_mean_square(x, eps):
    gain = gains(x.shape[1])
    wide = x.astype(np.float64)
    root = np.sqrt((wide**2).mean(axis=1, keepdims=True) + eps)
    y = rms_norm(x, gain, eps)
    assert y.dtype == np.float32
    # The root, the quotient and the product are rounded, each by at most 2**-24.
    assert_allclose(y, wide / root * gain, rtol=3.01 * 2.0**-24, atol=1e-37)


@given(ROWS.filter(lambda x: x.size), st.randoms(use_true_random=False))
def test_the_order_of_the_sum_does_not_show(x, random):
    order = random.sample(range(x.shape[1]), x.shape[1])
    gain = gains(x.shape[1])
    y = rms_norm(x, gain, 1e-5)[:, order]
    assert_array_equal(rms_norm(x[:, order], gain[order], 1e-5), y, strict=True)


@given(ROWS)
def test_a_token_is_normalized_as_if_it_were_alone(x):
    gain = gains(x.shape[1])
    y = rms_norm(x, gain, 1e-5)
    for t in range(len(x)):
        assert_array_equal(
            y[t : t + 1], rms_norm(x[t : t + 1], gain, 1e-5), strict=True
        )


@pytest.mark.parametrize("power", [-10, 10, 30])
def test_the_size_of_a_token_does_not_matter(power):
    rng = np.random.default_rng(0)
    x, gain = rng.standard_normal((2, 6912), np.float32), gains(6912)
    scaled = x * np.float32(2) ** power
    assert_array_equal(rms_norm(scaled, gain, 0), rms_norm(x, gain, 0), strict=True)


def test_eps_stands_inside_the_root():
    x = np.full((1, 4), 1e-3, np.float32)
    y = rms_norm(x, np.ones(4, np.float32), eps=3e-6)
    assert_allclose(y, 0.5, rtol=1e-6)  # 1e-3 / sqrt(1e-6 + 3e-6)


def test_a_token_of_zeros_stays_zero():
    y = rms_norm(np.zeros((2, 3), np.float32), np.ones(3, np.float32), 1e-5)
    assert_array_equal(y, np.zeros((2, 3), np.float32), strict=True)
