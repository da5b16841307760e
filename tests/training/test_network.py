import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from slopes import SEEDS, slope

from minibitnet.checkpoint.configfile import parse_config
from minibitnet.training.losses import cross_entropy
from minibitnet.training.network import forward, round_matrices, sum_by_row
from minibitnet.training.straight_through import (
    bit_linear,
    float_linear,
    keep_weights,
    round_weights,
)
from minibitnet.weights import is_ternary, shapes

# Every letter another number, and fewer heads for the keys
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
    return {
        name: 0.5 * rng.standard_normal(shape) + (len(shape) == 1)
        for name, shape in shapes(CONFIG).items()
    }


def compute(parameters, rounded, ids, linear):
    # The loss of texts, and the way back from it.
    logits, back = forward(parameters, rounded, CONFIG, ids[:, :-1], linear)
    loss, back_loss = cross_entropy(logits, ids[:, 1:].ravel())
    return loss, lambda: back(back_loss(1.0))


@settings(max_examples=10)
@given(seed=SEEDS)
def test_without_rounding_the_gradients_of_the_model_are_its_slopes(seed):
    rng = np.random.default_rng(seed)
    parameters = draw(rng)
    ids = rng.integers(0, CONFIG.vocab_size, (2, 6))

    def run(parameters):
        rounded = round_matrices(parameters, CONFIG, keep_weights)
        return compute(parameters, rounded, ids, float_linear)

    gradients = run(parameters)[1]()
    assert gradients.keys() == parameters.keys()
    for name, gradient in gradients.items():
        direction = rng.standard_normal(gradient.shape)
        expected = slope(
            lambda w, name=name: run(parameters | {name: w})[0],
            parameters[name],
            direction,
        )
        # third derivatives of the whole are larger than those of a piece
        assert_allclose(
            (gradient * direction).sum(), expected, rtol=1e-5, atol=1e-4, err_msg=name
        )


@settings(max_examples=10)
@given(seed=SEEDS)
def test_with_rounded_weights_what_is_not_rounded_still_has_true_slopes(seed):
    rng = np.random.default_rng(seed)
    parameters = draw(rng)
    ids = rng.integers(0, CONFIG.vocab_size, (2, 6))
    rounded = round_matrices(parameters, CONFIG, round_weights)
    gradients = compute(parameters, rounded, ids, float_linear)[1]()
    assert gradients.keys() == parameters.keys()
    for name in filter(lambda name: not is_ternary(name), parameters):
        direction = rng.standard_normal(gradients[name].shape)

        def loss(w, name=name):
            return compute(parameters | {name: w}, rounded, ids, float_linear)[0]

        expected = slope(loss, parameters[name], direction)
        found = (gradients[name] * direction).sum()
        assert_allclose(found, expected, rtol=1e-5, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("weights", [round_weights, keep_weights])
@pytest.mark.parametrize("linear", [bit_linear, float_linear])
def test_a_step_against_the_gradient_lowers_the_loss(weights, linear):
    # Gains and embedding move; even past rounded activations the direction is right.
    rng = np.random.default_rng(3)
    parameters = draw(rng)
    ids = rng.integers(0, CONFIG.vocab_size, (4, 10))
    rounded = round_matrices(parameters, CONFIG, weights)
    before, back = compute(parameters, rounded, ids, linear)
    gradients = back()
    moved = {
        name: w if is_ternary(name) else w - 1e-4 * gradients[name]
        for name, w in parameters.items()
    }
    after, _ = compute(moved, rounded, ids, linear)
    assert after < before


def test_every_text_of_a_batch_is_computed_as_if_it_were_alone():
    rng = np.random.default_rng(0)
    parameters = draw(rng)
    rounded = round_matrices(parameters, CONFIG, keep_weights)
    texts = rng.integers(0, CONFIG.vocab_size, (3, 7))
    together, _ = forward(parameters, rounded, CONFIG, texts, float_linear)
    for text, logits in zip(texts, np.split(together, 3), strict=True):
        alone, _ = forward(parameters, rounded, CONFIG, text[None], float_linear)
        assert_allclose(logits, alone, rtol=1e-9, atol=1e-12)


@given(ids=st.lists(st.integers(0, 4), min_size=1, max_size=9), seed=SEEDS)
def test_rows_that_come_twice_add_up(ids, seed):
    values = np.random.default_rng(seed).integers(-9, 9, (len(ids), 2)).astype(float)
    expected = np.zeros((5, 2))
    np.add.at(expected, ids, values)
    rows, sums = sum_by_row(np.array(ids), values)
    assert rows.tolist() == sorted({*ids})
    assert_array_equal(sums, expected[rows])
