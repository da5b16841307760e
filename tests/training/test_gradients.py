# Gradients in float64 against central differences: of each piece by itself, and of
# the whole model with rounding left out. With rounding there is no slope to compare
# with, so the straight-through estimator is held to its definition.

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from minibitnet.absmax import quantize_activations
from minibitnet.absmean import quantize_weights
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.rope import rotations
from minibitnet.training.attention import attention
from minibitnet.training.gate import squared_relu_gate
from minibitnet.training.loss import cross_entropy
from minibitnet.training.network import (
    Rounding,
    add_rows,
    forward,
    parameter_shapes,
    round_matrices,
)
from minibitnet.training.norm import rms_norm
from minibitnet.training.rotation import rotate
from minibitnet.training.straight_through import bit_linear, round_weights

STEP = 1e-6
# A central difference is off by the third derivative times STEP**2, 1e-12, and by the
# rounding of float64 over STEP, 1e-10; both relative to numbers of size one.
RTOL, ATOL = 1e-6, 1e-7


def slope(function, x, direction):
    """How fast a number changes as x moves in a direction."""
    return (function(x + STEP * direction) - function(x - STEP * direction)) / (
        2 * STEP
    )


def check_pullback(function, arrays, rng):
    """Hold a function's pullback to the slope of each of its arguments.

    The function returns an array and its pullback; a random mixture of the array's
    numbers serves as the loss.
    """
    y, pullback = function(*arrays)
    dy = rng.standard_normal(y.shape)
    gradients = pullback(dy)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    for place, gradient in enumerate(gradients):
        direction = rng.standard_normal(gradient.shape)

        def loss(x, place=place):
            changed = [*arrays[:place], x, *arrays[place + 1 :]]
            return (function(*changed)[0] * dy).sum()

        found = (gradient * direction).sum()
        expected = slope(loss, arrays[place], direction)
        assert_allclose(found, expected, rtol=RTOL, atol=ATOL * gradient.size)


SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 5)


@given(seed=SEEDS, T=SIZES, N=SIZES, eps=st.sampled_from([1e-5, 0.1]))
def test_norm(seed, T, N, eps):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((T, N)) + 2, rng.standard_normal(N)]
    check_pullback(lambda x, gain: rms_norm(x, gain, eps), arrays, rng)


@given(seed=SEEDS, T=SIZES, H=SIZES, half=SIZES)
def test_rotation(seed, T, H, half):
    rng = np.random.default_rng(seed)
    cos, sin = (a.astype(float) for a in rotations(np.arange(T) + 1, 2 * half, 10.0))
    x = rng.standard_normal((T, H, 2 * half))
    check_pullback(lambda x: rotate(x, cos, sin), [x], rng)


@given(
    seed=SEEDS,
    B=st.integers(1, 3),
    T=SIZES,
    G=st.integers(1, 3),
    group=st.integers(1, 4),
)
def test_attention(seed, B, T, G, group):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((B, T, heads, 2)) for heads in (G * group, G, G)]
    check_pullback(attention, arrays, rng)


@given(seed=SEEDS, T=SIZES, F=SIZES)
def test_gate(seed, T, F):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((T, F)) for _ in range(2)]
    check_pullback(squared_relu_gate, arrays, rng)


@given(seed=SEEDS, T=SIZES, V=SIZES)
def test_loss(seed, T, V):
    rng = np.random.default_rng(seed)
    targets = rng.integers(0, V, T)
    logits = 3 * rng.standard_normal((T, V))
    direction = rng.standard_normal((T, V))
    gradient = cross_entropy(logits, targets)[1](0.5)
    expected = 0.5 * slope(lambda x: cross_entropy(x, targets)[0], logits, direction)
    assert_allclose((gradient * direction).sum(), expected, rtol=RTOL, atol=ATOL * T)


@given(seed=SEEDS, T=SIZES, N=SIZES, rows=st.lists(SIZES, min_size=1, max_size=3))
def test_linear_without_rounding(seed, T, N, rows):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((T, N)), rng.standard_normal((sum(rows), N))]

    def linear(x, W):
        parts = np.split(W, np.cumsum(rows)[:-1])
        return bit_linear(x, round_weights(parts, ternary=False), eight_bits=False)

    check_pullback(linear, arrays, rng)


@given(seed=SEEDS, T=SIZES, N=SIZES, rows=st.lists(SIZES, min_size=1, max_size=3))
def test_a_gradient_passes_rounding_as_if_it_were_not_there(seed, T, N, rows):
    rng = np.random.default_rng(seed)
    x, dy = rng.standard_normal((T, N)), rng.standard_normal((T, sum(rows)))
    masters = [rng.standard_normal((M, N)) for M in rows]
    y, pullback = bit_linear(x, round_weights(masters))
    dx, dmasters = pullback(dy)
    # The definition: x + stopgrad(x_q - x), W + stopgrad(W_q - W), and y of the two.
    x_codes, x_scale = quantize_activations(x)
    x_q = x_codes * x_scale
    W_q = np.concatenate(
        [codes * float(scale) for codes, scale in map(quantize_weights, masters)]
    )
    assert_allclose(y, x_q @ W_q.T, rtol=1e-12, atol=1e-12)
    assert_allclose(dx, dy @ W_q, rtol=1e-12, atol=1e-12)
    assert_allclose(dmasters, dy.T @ x_q, rtol=1e-12, atol=1e-12)


@given(
    rows=st.lists(st.integers(0, 4), min_size=1, max_size=9),
    seed=SEEDS,
)
def test_rows_that_come_twice_add_up(rows, seed):
    values = np.random.default_rng(seed).integers(-9, 9, (len(rows), 2)).astype(float)
    total, expected = np.ones((5, 2)), np.ones((5, 2))
    np.add.at(expected, rows, values)
    add_rows(total, np.array(rows), values)
    assert_array_equal(total, expected)


CONFIG = parse_config(
    {
        "model_type": "bitnet",
        "hidden_size": 12,
        "intermediate_size": 14,
        "num_hidden_layers": 2,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 4,
        "vocab_size": 11,
        "rope_theta": 100.0,
        "rms_norm_eps": 1e-3,
    }
)


def draw(rng):
    shapes = parameter_shapes(CONFIG)
    return {
        name: 0.5 * rng.standard_normal(shape) + (len(shape) == 1)
        for name, shape in shapes.items()
    }


@settings(max_examples=10)
@given(seed=SEEDS)
def test_whole_model_without_rounding(seed):
    rng = np.random.default_rng(seed)
    parameters = draw(rng)
    ids = rng.integers(0, CONFIG.vocab_size, (2, 6))

    def loss(parameters):
        rounded = round_matrices(parameters, CONFIG, Rounding(False, False))
        return forward(parameters, rounded, CONFIG, ids, eight_bits=False)

    gradients = loss(parameters)[1](1.0)
    assert gradients.keys() == parameters.keys()
    for name, gradient in gradients.items():
        direction = rng.standard_normal(gradient.shape)
        expected = slope(
            lambda w, name=name: loss(parameters | {name: w})[0],
            parameters[name],
            direction,
        )
        # third derivatives of the whole are larger than those of a piece
        assert_allclose(
            (gradient * direction).sum(), expected, rtol=1e-5, atol=1e-5, err_msg=name
        )


@pytest.mark.parametrize(
    "rounding", [Rounding(), Rounding(True, False), Rounding(False, True)]
)
def test_a_step_against_the_gradient_lowers_the_loss_of_what_is_not_rounded(rounding):
    # Gains and embedding have a true slope even where weights are rounded, if the
    # activations are not; with them the step is in the right direction all the same.
    rng = np.random.default_rng(3)
    parameters = draw(rng)
    ids = rng.integers(0, CONFIG.vocab_size, (4, 9))
    rounded = round_matrices(parameters, CONFIG, rounding)
    before, pullback = forward(parameters, rounded, CONFIG, ids, rounding.activations)
    gradients = pullback(1.0)
    moved = {
        name: w if "_proj" in name else w - 1e-3 * gradients[name]
        for name, w in parameters.items()
    }
    after, _ = forward(moved, rounded, CONFIG, ids, rounding.activations)
    assert after < before
