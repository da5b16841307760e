import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import SHAPES, floats

from minibitnet.absmean import quantize_weights


@given(floats(SHAPES))
def test_the_scale_is_the_mean_size_of_the_whole_matrix(W):
    _, w_scale = quantize_weights(W)
    mean = math.fsum(abs(W).ravel().tolist()) / W.size
    assert w_scale.dtype == np.float32
    assert w_scale == np.float32(max(mean, 1e-5))


@given(floats(SHAPES))
def test_a_weight_counts_if_it_is_more_than_half_the_scale(W):
    w_codes, w_scale = quantize_weights(W)
    steps = abs(W) / np.float64(w_scale)
    near = 2.0**-24  # of a half: the quotient is rounded to float32 first
    assert w_codes.dtype == np.int8
    assert_array_equal(w_codes[steps > 0.5 + near], np.sign(W)[steps > 0.5 + near])
    assert_array_equal(w_codes[steps < 0.5 - near], 0)


def test_exactly_half_the_scale_becomes_zero():
    w_codes, w_scale = quantize_weights(
        np.array([[1.5, 0.5], [-0.5, -1.5]], np.float32)
    )
    assert w_scale == 1
    assert_array_equal(w_codes, np.array([[1, 0], [0, -1]], np.int8), strict=True)


@given(floats(SHAPES), st.integers(0, 20))
def test_codes_do_not_depend_on_units(W, power):
    W[0, 0] = 8  # so that the mean is above the least scale
    w_codes, w_scale = quantize_weights(W)
    scaled_codes, scaled_scale = quantize_weights(W * np.float32(2**power))
    assert_array_equal(scaled_codes, w_codes)
    assert scaled_scale == w_scale * 2**power


def test_a_matrix_of_zeros_has_the_least_scale():
    w_codes, w_scale = quantize_weights(np.zeros((3, 5), np.float32))
    assert w_scale == np.float32(1e-5)
    assert_array_equal(w_codes, np.zeros((3, 5), np.int8), strict=True)


def test_the_scale_does_not_depend_on_the_order_of_the_sum():
    rng = np.random.default_rng(0)
    W = rng.standard_normal((500, 500), np.float32)
    _, w_scale = quantize_weights(W)
    for _ in range(20):  # a mean in float32 differs now and then
        assert quantize_weights(rng.permuted(W).reshape(500, 500))[1] == w_scale
