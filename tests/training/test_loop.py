import math
from itertools import islice

import numpy as np
import pytest
from foxes import CONFIG, CONTEXT, SCHEDULE, begin, learn, steps
from numpy.testing import assert_allclose, assert_array_equal

from minibitnet.training import loop
from minibitnet.training.loop import Settings, draw_parameters, share_of_codes
from minibitnet.training.straight_through import (
    bit_linear,
    float_linear,
    keep_weights,
    round_weights,
)
from minibitnet.weights import shapes


def test_parameters_begin_as_gains_of_one_and_small_numbers():
    parameters = draw_parameters(CONFIG, seed=5)
    assert {n: w.shape for n, w in parameters.items()} == shapes(CONFIG)
    for w in parameters.values():
        assert w.dtype == np.float32
        if w.ndim == 1:
            assert (w == 1).all()
        else:
            assert w.mean() == pytest.approx(0, abs=0.002)
            assert w.std() == pytest.approx(0.02, rel=0.1)


def test_a_model_learns(trained):
    _, losses = trained
    assert len(losses) == SCHEDULE.steps
    assert losses[0] == pytest.approx(np.log(280), rel=0.05)  # it knows nothing
    assert np.mean(losses[-5:]) < 0.7 * losses[0]


@pytest.mark.parametrize(
    ("weights", "linear"),
    [
        (keep_weights, float_linear),
        (round_weights, float_linear),
        (keep_weights, bit_linear),
    ],
)
def test_what_is_not_rounded_learns_too(row, trained, weights, linear):
    losses = learn(begin(), row, weights=weights, linear=linear)
    assert np.mean(losses[-5:]) < 0.7 * losses[0]
    assert losses != trained[1]


def test_a_step_says_what_it_did(row):
    first, second = islice(steps(begin(), row), 2)
    assert (first.step, second.step) == (0, 1)
    for step in first, second:
        assert step.rate == SCHEDULE.rate(step.step)
        assert step.decay == SCHEDULE.decay(step.step)
        assert step.seconds > 0


@pytest.mark.parametrize("limit", [1e9, 1e-3])
def test_gradients_are_clipped_and_a_step_says_how_long_they_were(row, limit):
    optimizer = begin()
    step = next(steps(optimizer, row, clip=limit))
    assert step.gradient > 0.1
    m = np.concatenate([m.ravel() for m in optimizer.m.values()])  # a tenth of them
    expected = min(limit, step.gradient) / 10
    assert np.linalg.norm(m) == pytest.approx(expected, rel=1e-3)


def test_the_same_seed_gives_the_same_weights(row, trained):
    optimizer = begin()
    assert learn(optimizer, row) == trained[1]
    for name, array in trained[0].items():
        assert_array_equal(optimizer.parameters[name], array, strict=True)
    assert learn(begin(), row, seed=1) != trained[1]


def test_threads_share_the_work_and_change_nothing(row, monkeypatch):
    monkeypatch.setattr(loop, "MICRO_BATCH", 2 * CONTEXT)  # two of them, not one
    assert learn(begin(), row, threads=1) == learn(begin(), row, threads=3)


def test_micro_batches_change_last_bits_only(row, trained, monkeypatch):
    monkeypatch.setattr(loop, "MICRO_BATCH", CONTEXT)
    losses = learn(begin(), row)
    # Sums in another order; a code that flips for it later on shows more.
    assert_allclose(losses[:5], trained[1][:5], rtol=1e-5)


def test_no_text_is_cut_where_one_is_longer_than_a_micro_batch(row, monkeypatch):
    monkeypatch.setattr(loop, "MICRO_BATCH", 1)
    found = next(steps(begin(), row)).loss
    monkeypatch.undo()
    assert found == pytest.approx(next(steps(begin(), row)).loss, rel=1e-5)


def test_the_shares_of_codes_are_those_of_each_matrix():
    w = np.float32([[0.1, 1, -1, 1], [0.1, 0.1, -1, 1]])
    shares = share_of_codes({"model.layers.0.mlp.up_proj.weight": w, "model.norm": w})
    assert shares == {"model.layers.0.mlp.up_proj.weight": [0.25, 0.375, 0.375]}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("batch_size", 0), ("context", 0), ("clip", 0.0), ("clip", -1.0)),
        *(("clip", math.nan), ("clip", math.inf), ("seed", -1), ("threads", 0)),
    ],
)
def test_numbers_without_a_meaning_are_refused_by_name(name, value):
    settings = {"batch_size": 4, "context": CONTEXT, name: value}
    with pytest.raises(ValueError, match=f"{name} must be .* got {value}"):
        Settings(SCHEDULE, **settings)


def test_a_training_that_has_gone_astray_ends_in_a_line(row):
    optimizer = begin()
    optimizer.parameters["model.embed_tokens.weight"][:] = np.inf
    with pytest.raises(ValueError, match="step 0: the loss is .* lower learning rate"):
        next(steps(optimizer, row))
    assert optimizer.steps == 0
