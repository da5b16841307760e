import numpy as np
import pytest
from foxes import CONTENT, begin, learn, steps
from numpy.testing import assert_array_equal

from minibitnet import CheckpointError
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.training.adamw import AdamW
from minibitnet.training.loop import draw_parameters
from minibitnet.training.state import (
    load_state,
    save_state,
    state,
)


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
