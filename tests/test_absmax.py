import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import TOKENS, floats

from minibitnet.absmax import quantize_activations

LEAST = np.float32(1e-5)


@given(floats(TOKENS))
def test_codes_times_scale_is_within_half_a_step(x):
    x_codes, x_scale = quantize_activations(x)
    assert (x_codes.dtype, x_scale.dtype) == (np.int8, np.float32)
    # Half a step, and three roundings of float32 on at most 127 steps
    bound = (0.5 + 127 * 3 * 2.0**-24) * x_scale
    assert (abs(x_codes * np.float64(x_scale) - x) <= bound).all()


@given(floats(TOKENS))
def test_the_largest_becomes_127_and_the_scale_is_a_127th_of_it(x):
    x_codes, x_scale = quantize_activations(x)
    largest = abs(x).max(axis=1, keepdims=True)
    loud = largest[:, 0] >= LEAST
    assert_array_equal(abs(x_codes[loud].astype(int)).max(axis=1), 127)
    assert_array_equal(x_scale, np.maximum(largest, LEAST) / 127, strict=True)


@given(floats(TOKENS))
def test_a_token_is_quantized_as_if_it_were_alone(x):
    x_codes, x_scale = quantize_activations(x)
    for t in range(len(x)):
        codes_alone, scale_alone = quantize_activations(x[t : t + 1])
        assert_array_equal(x_codes[t : t + 1], codes_alone, strict=True)
        assert_array_equal(x_scale[t : t + 1], scale_alone, strict=True)


@given(floats(TOKENS), st.integers(0, 20))
def test_codes_do_not_depend_on_units(x, power):
    x[:, 0] = 1  # so that the scale is above the least
    x_codes, x_scale = quantize_activations(x)
    scaled_codes, scaled_scale = quantize_activations(x * np.float32(2**power))
    assert_array_equal(scaled_codes, x_codes)
    assert_array_equal(scaled_scale, x_scale * 2**power)


@pytest.mark.parametrize(
    ("x", "code"), [(0.5, 0), (1.5, 2), (2.5, 2), (62.5, 62), (63.5, 64), (126.5, 126)]
)
def test_ties_go_to_the_even_code(x, code):
    x_codes, _ = quantize_activations(np.array([[127, x, -x]], np.float32))
    assert_array_equal(x_codes, np.array([[127, code, -code]], np.int8), strict=True)


def test_the_division_comes_before_the_product():
    x = np.array([[9, 4.5]], np.float32)
    x_codes, x_scale = quantize_activations(x)
    assert_array_equal(x_codes, np.array([[127, 64]], np.int8), strict=True)
    assert_array_equal(np.rint(x / x_scale), [[127, 63]])  # the other way round


def test_a_token_of_zeros_has_codes_of_zero_and_the_least_scale():
    x_codes, x_scale = quantize_activations(np.zeros((2, 3), np.float32))
    assert_array_equal(x_codes, np.zeros((2, 3), np.int8), strict=True)
    assert_array_equal(x_scale, np.full((2, 1), LEAST / 127), strict=True)
