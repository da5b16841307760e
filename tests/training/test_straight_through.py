# With rounding there is no slope to compare with, so the estimator is held to its
# definition; without, to central differences.

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from slopes import SEEDS, SIZES, check_pullback

from minibitnet.absmax import quantize_activations
from minibitnet.absmean import quantize_weights
from minibitnet.bitlinear import rescale
from minibitnet.training.straight_through import (
    bit_linear,
    float_linear,
    keep_weights,
    round_weights,
)

ROWS = st.lists(SIZES, min_size=1, max_size=3)  # of matrices that are stacked
EXACT = {"rtol": 1e-12, "atol": 1e-12}


def draw(seed, T, N, rows):
    rng = np.random.default_rng(seed)
    x, dy = rng.standard_normal((T, N)), rng.standard_normal((T, sum(rows)))
    return x, dy, [rng.standard_normal((M, N)) for M in rows]


def dequantize(masters):
    pairs = map(quantize_weights, masters)
    return np.concatenate([w_codes * float(w_scale) for w_codes, w_scale in pairs])


@given(seed=SEEDS, T=SIZES, N=SIZES, rows=ROWS)
def test_without_rounding_the_gradients_are_the_slopes(seed, T, N, rows):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((T, N)), rng.standard_normal((sum(rows), N))]

    def linear(x, W):
        return float_linear(x, keep_weights(np.split(W, np.cumsum(rows)[:-1])))

    check_pullback(linear, arrays, rng)
    assert_allclose(linear(*arrays)[0], arrays[0] @ arrays[1].T, **EXACT)


@given(seed=SEEDS, T=SIZES, N=SIZES, rows=ROWS)
def test_a_gradient_passes_rounding_as_if_it_were_not_there(seed, T, N, rows):
    x, dy, masters = draw(seed, T, N, rows)
    y, pullback = bit_linear(x, round_weights(masters))
    dx, dmasters = pullback(dy)
    # The definition: x + stopgrad(x_q - x), W + stopgrad(W_q - W), and y of the two.
    x_codes, x_scale = quantize_activations(x)
    x_q, W_q = x_codes * x_scale, dequantize(masters)
    assert_allclose(y, x_q @ W_q.T, **EXACT)
    assert_allclose(dx, dy @ W_q, **EXACT)
    assert_allclose(dmasters, dy.T @ x_q, **EXACT)


@given(seed=SEEDS, T=SIZES, N=SIZES, rows=ROWS)
def test_the_activations_can_be_left_as_they_are_with_rounded_weights(seed, T, N, rows):
    x, dy, masters = draw(seed, T, N, rows)
    y, pullback = float_linear(x, round_weights(masters))
    dx, dmasters = pullback(dy)
    W_q = dequantize(masters)
    assert_allclose(y, x @ W_q.T, **EXACT)
    assert_allclose(dx, dy @ W_q, **EXACT)
    assert_allclose(dmasters, dy.T @ x, **EXACT)


@given(seed=SEEDS, T=SIZES, N=SIZES, rows=ROWS)
def test_the_weights_can_be_left_as_they_are_with_rounded_activations(seed, T, N, rows):
    x, dy, masters = draw(seed, T, N, rows)
    y, pullback = bit_linear(x, keep_weights(masters))
    dx, dmasters = pullback(dy)
    x_codes, x_scale = quantize_activations(x)
    x_q, W = x_codes * x_scale, np.concatenate(masters)
    assert_allclose(y, x_q @ W.T, **EXACT)
    assert_allclose(dx, dy @ W, **EXACT)
    assert_allclose(dmasters, dy.T @ x_q, **EXACT)


@given(seed=SEEDS, T=SIZES, N=st.integers(1, 300), rows=ROWS)
def test_the_product_is_that_of_inference_to_the_last_bit(seed, T, N, rows):
    x, _, masters = draw(seed, T, N, rows)
    x, masters = x.astype(np.float32), [w.astype(np.float32) for w in masters]
    x_codes, x_scale = quantize_activations(x)
    expected = [
        rescale(x_codes.astype(np.int32) @ w_codes.T, x_scale, w_scale)
        for w_codes, w_scale in map(quantize_weights, masters)
    ]
    y, _ = bit_linear(x, round_weights(masters))
    assert_array_equal(y, np.concatenate(expected, axis=1), strict=True)
