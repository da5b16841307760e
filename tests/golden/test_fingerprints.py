# The same fingerprint from every kernel, number of threads and kind of file, from the
# page and from the package; another one from a model that differs in one trit.

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from small import SMALL

import minibitnet as mb
from minibitnet import one_page
from minibitnet.checkpoint.synth import write_checkpoint
from minibitnet.files.tensorfile import read_tensors
from minibitnet.golden.fingerprintfile import (
    find_fingerprint,
    read_fingerprint,
    to_json,
)
from minibitnet.golden.fingerprints import (
    SPREAD,
    TEXT,
    choose_ids,
    describe_logits,
    describe_stage,
    describe_weights,
    fingerprint,
    hash_values,
)
from minibitnet.golden.judge import CODES
from minibitnet.golden.matching import match
from minibitnet.kernels import KERNELS
from minibitnet.model import forward
from minibitnet.packing import unpack
from minibitnet.stories import BUILT_IN
from minibitnet.weights import is_ternary, shapes

RECORDED = Path(__file__).parents[1] / "recorded"
CHECKPOINTS = [BUILT_IN, *sorted(RECORDED.iterdir())]
each_checkpoint = pytest.mark.parametrize(
    "directory", CHECKPOINTS, ids=lambda directory: directory.name
)


def sha256(array):
    return hashlib.sha256(array.tobytes()).hexdigest()


def differing(parts):
    return {part.name: part.first for part in parts if part.differ}


def test_the_built_in_model_computes_what_its_fingerprint_says():
    file = find_fingerprint(BUILT_IN)
    expected = read_fingerprint(file)
    parts = match(expected, *mb.load())
    assert not differing(parts)
    names = ["config", "tokenizer", "weights", "stages", "logits", "greedy"]
    assert [part.name for part in parts] == names
    assert expected["text"] == TEXT
    assert file.stat().st_size < 60_000


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_and_number_of_threads_gives_the_same(checkpoint, kernel, threads):
    plain, tokenizer = mb.load(checkpoint, kernel="masks", threads=1)
    expected = fingerprint(plain, choose_ids(plain, tokenizer)[0])
    model, _ = mb.load(checkpoint, kernel=kernel, threads=threads)
    assert fingerprint(model, expected["ids"]) == expected


@each_checkpoint
def test_the_page_gives_the_same(directory):
    model, tokenizer = mb.load(directory)
    ids, text = choose_ids(model, tokenizer)
    made = fingerprint(model, ids, text)
    config, weights = one_page.load(directory)
    trace = {}
    logits = one_page.forward(config, weights, ids, [], trace)
    stages = {}
    for name, array in trace.items():
        stages |= describe_stage(name, array)
    assert stages == made["stages"]
    assert [*stages] == [*made["stages"]]
    assert [row.argmax() for row in logits] == [at["ids"][0] for at in made["logits"]]
    assert one_page.generate(config, weights, ids, 16) == made["greedy"]


@each_checkpoint
def test_the_page_has_the_same_weights(directory):
    model, _ = mb.load(directory)
    made = dict(describe_weights(model))
    config, weights = one_page.load(directory)
    assert {*made} == {name for name in weights if not name.endswith("_scale")}
    for name, entry in made.items():
        if is_ternary(name):
            M = shapes(model.config)[name][0]
            stem = name.removesuffix(".weight")
            codes, scale = one_page.ternary(config, weights, stem, M)
            assert entry == {"codes": sha256(codes), "scale": float(str(scale))}
        else:
            assert entry == {"values": sha256(one_page.widen(weights[name]))}


def change_trit(directory, name, c):
    """Another code in row 1 and column c of a matrix."""
    tensor = read_tensors(directory / "model.safetensors")[name].array
    file = directory / "model.safetensors"
    raw = bytearray(file.read_bytes())
    place = raw.index(tensor.tobytes()) + tensor.shape[1] + c
    raw[place] = raw[place] & ~3 | ((raw[place] & 3) + 1) % 3  # the lowest bits: row 1
    file.write_bytes(raw)


@pytest.mark.parametrize("layer", [0, 2])
@pytest.mark.parametrize("kind", ["self_attn.k_proj", "mlp.up_proj", "mlp.down_proj"])
def test_one_changed_trit_is_found_and_named(tmp_path, layer, kind):
    directory = write_checkpoint(tmp_path, SMALL, seed=4)
    ids, name = [3, 17, 5, 60, 2], f"model.layers.{layer}.{kind}.weight"
    stage = kind.split(".")[1].removesuffix("_proj")
    model, _ = mb.load(directory)
    expected = fingerprint(model, ids)
    with mb.trace() as stages:
        forward(model, ids)
    codes = stages[f"layers.{layer}.{CODES[stage]}.codes"]
    positions = (codes != 0).argmax(axis=0)  # the first to read each column
    column, position = int(positions.argmax()), positions.max()
    before = unpack(read_tensors(directory / "model.safetensors")[name].array)
    change_trit(directory, name, column)
    after = unpack(read_tensors(directory / "model.safetensors")[name].array)
    assert np.argwhere(before != after).tolist() == [[1, column]]
    parts = {part.name: part for part in match(expected, *mb.load(directory))}
    assert (parts["config"].differ, parts["weights"].differ) == (0, 1)
    assert parts["weights"].first.startswith(f"{name}: codes: expected ")
    first = f"layers.{layer}.{stage}.acc, position {position}: rows: expected "
    assert parts["stages"].first.startswith(first)


def test_a_model_without_tokenizer_reads_ids_spread_over_the_vocabulary(checkpoint):
    model, tokenizer = mb.load(checkpoint)
    ids, text = choose_ids(model, tokenizer)
    assert (len(set(ids)), text) == (SPREAD, None)
    assert 0 == min(ids) < max(ids) < model.config.vocab_size


def test_too_many_tokens_are_refused(model):
    with pytest.raises(ValueError, match="ids must be at most 64 .*, got 65"):
        fingerprint(model, [1] * 65)
    with pytest.raises(ValueError, match="ids must be at least one"):
        fingerprint(model, [])


def test_the_most_likely_tokens_come_in_order_the_first_of_equals_first():
    found = describe_logits(np.float32([1, 3, 2, 3]))
    assert found == {"ids": [1, 3, 2, 0], "values": [3, 3, 2, 1], "margin": 0}
    found = describe_logits(np.arange(40, dtype=np.float32) / 8)
    assert (len(found["ids"]), found["ids"][0], found["margin"]) == (20, 39, 0.125)
    assert describe_logits(np.float32([7])) == {"ids": [0], "values": [7], "margin": 0}


def test_values_are_hashed_as_float32_whatever_their_number():
    bits = np.arange(9001 * 2, dtype=np.uint16).reshape(9001, 2) % 0x7F80
    values = (bits.astype(np.uint32) << 16).view(np.float32)
    expected = hashlib.sha256(values.tobytes()).hexdigest()
    assert hash_values(bits) == hash_values(values) == expected


def test_a_file_beside_a_model_is_found(tmp_path):
    assert find_fingerprint(tmp_path) is None
    (tmp_path / "fingerprint.json").touch()
    assert find_fingerprint(tmp_path) == tmp_path / "fingerprint.json"
    gguf = tmp_path / "m.i2_s.gguf"
    gguf.touch()
    assert find_fingerprint(gguf) is None
    shutil.copy(tmp_path / "fingerprint.json", tmp_path / "m.i2_s.fingerprint.json")
    assert find_fingerprint(gguf) == tmp_path / "m.i2_s.fingerprint.json"


def test_json_has_a_line_for_each_list_and_loses_nothing(model):
    made = fingerprint(model, [1, 2], 'a [b\n c] "d"')
    text = to_json(made)
    assert json.loads(text) == made
    assert max(text.count("[") for text in text.splitlines()) == 1
