from itertools import islice

import numpy as np
import pytest
from foxes import CONFIG, CONTENT, CONTEXT, SCHEDULE, begin, learn, steps
from numpy.testing import assert_allclose, assert_array_equal

from minibitnet import CheckpointError
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.training import loop
from minibitnet.training.adamw import AdamW
from minibitnet.training.loop import (
    draw_parameters,
    load_state,
    save_state,
    share_of_codes,
    state,
)
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


# A training that is kept and resumed


def test_a_training_that_was_interrupted_goes_on_as_if_it_had_not_been(
    row, trained, tmp_path
):
    optimizer = begin()
    for step in steps(optimizer, row):
        if step.step == 16:
            save_state(optimizer, tmp_path / "state.npz")
            break
    again = begin(seed=77)
    load_state(again, tmp_path / "state.npz")
    assert learn(again, row) == trained[1][17:]
    for name, array in trained[0].items():
        assert_array_equal(again.parameters[name], array, strict=True)
    assert [file.name for file in tmp_path.iterdir()] == ["state.npz"]


def test_the_state_of_another_model_is_refused(tmp_path):
    save_state(begin(), tmp_path / "state.npz")
    other = parse_config(CONTENT | {"hidden_size": 64, "head_dim": 8})
    with pytest.raises(
        CheckpointError, match=r"expected \(280, 64\), found \(280, 32\)"
    ):
        load_state(AdamW(draw_parameters(other, 0)), tmp_path / "state.npz")
    deeper = parse_config(CONTENT | {"num_hidden_layers": 3})
    with pytest.raises(CheckpointError, match=r"layers\.2.*found none"):
        load_state(AdamW(draw_parameters(deeper, 0)), tmp_path / "state.npz")


@pytest.fixture
def kept(tmp_path):
    optimizer = AdamW({"mlp.up_proj": np.ones((2, 3)), "norm": np.ones(3)})
    optimizer.step({"mlp.up_proj": np.ones((2, 3)), "norm": np.ones(3)}, 1, 0)
    save_state(optimizer, tmp_path / "state.npz")
    return tmp_path / "state.npz"


def check_refused_or_whole(file, expected):
    # Refused, nothing changes; loaded, it is as expected. Says whether it was refused.
    optimizer = AdamW({"mlp.up_proj": np.zeros((2, 3)), "norm": np.zeros(3)})
    before = {name: array.copy() for name, array in state(optimizer).items()}
    complaint = ""
    try:
        load_state(optimizer, file)
    except CheckpointError as error:
        complaint = str(error)
    for name, array in state(optimizer).items():
        assert_array_equal(array, (before if complaint else expected)[name])
    assert not complaint or complaint.startswith(f"{file}: ")
    return complaint != ""


def test_a_state_that_was_cut_off_is_refused(kept):
    whole = kept.read_bytes()
    for length in range(0, len(whole), 7):
        kept.write_bytes(whole[:length])
        assert check_refused_or_whole(kept, {})


@pytest.mark.parametrize("bit", [1, 32, 128])
def test_a_state_with_a_damaged_byte_is_refused_or_loads_as_it_was(kept, bit):
    expected = dict(np.load(kept))
    whole = kept.read_bytes()
    refused = 0
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= bit
        kept.write_bytes(damaged)
        refused += check_refused_or_whole(kept, expected)
    assert refused > len(whole) / 2  # the others are dates and the like


@pytest.mark.parametrize("content", [b"", b"text", np.lib.format.magic(1, 0)])
def test_what_is_no_state_at_all_is_refused(kept, content):
    kept.write_bytes(content)
    with pytest.raises(CheckpointError, match="expected the state of a training"):
        load_state(begin(), kept)


def test_a_state_that_is_not_there_is_said_to_be_missing(tmp_path):
    with pytest.raises(FileNotFoundError):
        load_state(begin(), tmp_path / "state.npz")
