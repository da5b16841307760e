import json
import os
import pickle
import zipfile

import numpy as np
import pytest
from foxes import CONTENT, begin, learn, steps
from numpy.testing import assert_array_equal

from minibitnet import CheckpointError
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.training.adamw import AdamW
from minibitnet.training.loop import draw_parameters
from minibitnet.training.state import (
    check_begun,
    kept_lines,
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
        CheckpointError, match=r"float32 \(280, 32\), not float32 \(280, 64\)"
    ):
        load_state(AdamW(draw_parameters(other, 0)), tmp_path / "state.npz")
    deeper = parse_config(CONTENT | {"num_hidden_layers": 3})
    with pytest.raises(CheckpointError, match=r"no item named .*layers\.2"):
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


@pytest.mark.parametrize("bit", [1, 8, 32, 128])
def test_a_state_with_a_damaged_byte_is_refused_or_loads_as_it_was(kept, bit):
    expected = dict(np.load(kept))
    whole = kept.read_bytes()
    refused = 0
    for place in range(0, len(whole), 3):
        damaged = bytearray(whole)
        damaged[place] ^= bit
        kept.write_bytes(damaged)
        refused += check_refused_or_whole(kept, expected)
    assert refused > len(whole) / 6  # the others are dates and the like


@pytest.mark.parametrize("content", [b"", b"text", np.lib.format.magic(1, 0)])
def test_what_is_no_state_at_all_is_refused(kept, content):
    kept.write_bytes(content)
    with pytest.raises(CheckpointError, match="expected the state of a training"):
        load_state(begin(), kept)


def test_a_state_that_is_not_there_is_said_to_be_missing(tmp_path):
    for read in (load_state, lambda _, file: kept_lines(file, 1)):
        with pytest.raises(CheckpointError, match=r"state\.npz: No such file"):
            read(begin(), tmp_path / "state.npz")


@pytest.mark.parametrize(
    ("name", "change", "complaint"),
    [
        ("steps", lambda n: -n, "from 0 up, found some below"),
        ("steps", lambda n: n + 0.5, "steps of float64"),
        ("steps", lambda n: n[None], r"steps of int64 \(1,\)"),
        ("steps", lambda n: np.array("x"), "steps of <U1"),
        ("m/norm", lambda m: m * np.nan, "m/norm with numbers that are not finite"),
        ("v/norm", lambda v: v / 0.0, "v/norm with numbers that are not finite"),
        ("v/norm", lambda v: -v, "from 0 up, found some below"),
        ("parameters/norm", lambda w: w * 1j, "parameters/norm of complex128"),
        ("parameters/norm", lambda w: w.astype(int), "parameters/norm of int64"),
        ("parameters/norm", lambda w: None, "no item named 'parameters/norm.npy'"),
        ("parameters/norm", lambda w: w.astype(object), "parameters/norm of object"),
        ("other", lambda _: np.ones(3), "other, which no training here has"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_what_no_training_can_be_is_refused(kept, name, change, complaint):
    arrays = dict(np.load(kept))
    arrays[name] = change(arrays.get(name))
    if arrays[name] is None:
        del arrays[name]
    np.savez(kept, **arrays)
    optimizer = AdamW({"mlp.up_proj": np.zeros((2, 3)), "norm": np.zeros(3)})
    with pytest.raises(CheckpointError, match=f"state.npz: .*{complaint}"):
        load_state(optimizer, kept)
    assert optimizer.steps == 0
    assert not optimizer.m["norm"].any()


def write_zip(file, arrays, **others):
    # As np.savez does it, but for some members, which a function writes.
    with zipfile.ZipFile(file, "w") as members:
        for name, array in arrays.items():
            with members.open(f"{name}.npy", "w") as member:
                others.get(name, np.save)(member, array)


def test_an_array_is_not_read_where_its_header_is_another(kept):
    def promise(member, array):  # 9 PB, of which none come
        about = np.lib.format.header_data_from_array_1_0(array)
        np.lib.format.write_array_header_1_0(member, about | {"shape": (2**50,)})

    write_zip(kept, dict(np.load(kept)), **{"m/norm": promise})
    optimizer = AdamW({"mlp.up_proj": np.zeros((2, 3)), "norm": np.zeros(3)})
    with pytest.raises(CheckpointError, match=r"m/norm of float64 \(1125899906842624,"):
        load_state(optimizer, kept)


def test_another_version_of_the_format_is_refused(kept):
    def write(member, array):
        np.lib.format.write_array(member, array, version=(2, 0))

    write_zip(kept, dict(np.load(kept)), steps=write)
    optimizer = AdamW({"mlp.up_proj": np.zeros((2, 3)), "norm": np.zeros(3)})
    with pytest.raises(CheckpointError, match="steps in another version of the format"):
        load_state(optimizer, kept)


class Bomb:
    def __reduce__(self):
        return os.mkdir, ("bomb",)


def test_nothing_is_run_that_a_state_holds(kept, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    arrays = dict(np.load(kept)) | {"m/norm": np.array([Bomb()] * 3, object)}
    np.savez(kept, **arrays)
    with pytest.raises(CheckpointError, match="m/norm of object"):
        load_state(AdamW({"norm": np.zeros(3), "mlp.up_proj": np.zeros((2, 3))}), kept)
    kept.write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(CheckpointError, match="not a zip file"):
        load_state(AdamW({}), kept)
    assert not (tmp_path / "bomb").exists()


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_no_file_is_not_read(tmp_path, make):
    make(tmp_path / "it")
    for read in (lambda file: load_state(AdamW({}), file), lambda f: kept_lines(f, 1)):
        with pytest.raises(CheckpointError, match="it: expected a file, found"):
            read(tmp_path / "it")


# The log


def test_a_log_is_cut_off_where_the_state_stands(tmp_path):
    log = tmp_path / "log.jsonl"
    assert kept_lines(log, 0) == b""
    log.write_text('{"step": 0}\n{"step": 1, "loss": 2}\n{"step": 2}\n{"st')
    assert kept_lines(log, 0) == b""
    assert kept_lines(log, 2) == b'{"step": 0}\n{"step": 1, "loss": 2}\n'


@pytest.mark.parametrize(
    "second", [b"", b"\xff\xfe", b'{"step": 2}', b"{}", b"[1]", b'{"st', b"[" * 10**5]
)
def test_a_log_without_a_step_that_was_made_is_refused(tmp_path, second):
    log = tmp_path / "log.jsonl"
    log.write_bytes(b'{"step": 0}\n' + second)
    with pytest.raises(
        CheckpointError, match=r"jsonl: line 2: expected that of step 1"
    ):
        kept_lines(log, 2)


# What a training was begun with


@pytest.mark.parametrize("saved", ["state.npz", "config.json"])
def test_a_training_is_resumed_as_it_was_begun_or_what_differs_is_named(
    tmp_path, saved
):
    begun = {"--seed": 0, "--clip": 0.1, "FILE": "a"}
    check_begun(tmp_path, begun)  # nothing is there
    (tmp_path / "training.json").write_text(json.dumps(begun | {"--more": 1}))
    check_begun(tmp_path, begun | {"--seed": 5})  # nothing has been saved
    (tmp_path / saved).touch()
    check_begun(tmp_path, begun)
    with pytest.raises(ValueError, match="FILE: the run was .*'a', now 'b'") as caught:
        check_begun(tmp_path, begun | {"--seed": 5, "FILE": "b", "--new": 1})
    said = str(caught.value)
    assert "--seed: the run was begun with 0, now 5; " in said
    assert "--new: the run was begun with None, now 1 (another" in said
    assert "--clip" not in said


def test_a_directory_that_is_no_training_is_refused(tmp_path):
    (tmp_path / "state.npz").touch()
    with pytest.raises(ValueError, match="expected a new or an empty directory, found"):
        check_begun(tmp_path, {})
    (tmp_path / "training.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"training\.json: expected JSON"):
        check_begun(tmp_path, {})
