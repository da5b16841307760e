import copy

import pytest

import minibitnet as mb
from minibitnet.golden.fingerprints import fingerprint
from minibitnet.golden.matching import CLOSE, compare, match
from minibitnet.golden.quirky import write_quirky

IDS = [271, 32, 97]


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    return mb.load(write_quirky(tmp_path_factory.mktemp("quirky")))


@pytest.fixture
def made(loaded):
    return copy.deepcopy(fingerprint(loaded[0], IDS))


def found(made, loaded):
    return {part.name: part for part in match(made, *loaded)}


def test_equal_is_equal_and_counted(made, loaded):
    parts = found(made, loaded)
    assert not any(part.differ for part in parts.values())
    assert parts["weights"].line() == "weights: equal (38)"
    assert [*parts] == ["config", "weights", "stages", "logits", "greedy"]


def test_the_ids_of_a_text_are_the_tokenizers_own(made, loaded):
    ids = loaded[1].encode("a text")
    made = fingerprint(loaded[0], ids, "a text")
    assert found(made, loaded)["tokenizer"].differ == 0
    assert "tokenizer" not in found(made, (loaded[0], None))
    other = fingerprint(loaded[0], IDS, "a text")
    line = found(other, loaded)["tokenizer"].line()
    assert line == f"tokenizer: 1 of 1 differ, first ids: expected {IDS}, found {ids}"


def test_other_numbers_of_the_model_end_it(made, loaded):
    made["config"]["rms_norm_eps"] = 1e-6
    [part] = match(made, *loaded)
    assert part.first == "rms_norm_eps: expected 1e-06, found 3e-06"
    made["config"]["rms_norm_eps"] = 3.0000001061125658e-06  # the same float32
    assert not found(made, loaded)["config"].differ


def test_another_end_of_text_is_told_and_the_rest_compared(made, loaded):
    made["config"]["eos_token_ids"] = [0]
    parts = found(made, loaded)
    assert parts["config"].differ == 1
    assert parts["stages"].differ == 0


def test_the_first_difference_is_that_of_the_computation(made, loaded):
    made["stages"]["layers.1.up"]["l2"][0] += 1
    made["stages"]["layers.0.o.acc"]["rows"][2] = "0" * 16
    part = found(made, loaded)["stages"]
    assert part.differ == 2
    assert part.first.startswith("layers.0.o.acc, position 2: rows: expected 0000000")


@pytest.mark.parametrize("part", ["weights", "stages"])
def test_what_is_left_out_differs(made, loaded, part):
    name = list(made[part])[3]
    n = len(made[part][name]) * (1 if part == "weights" else len(IDS))
    del made[part][name]
    there = found(made, loaded)[part]
    assert there.differ == n
    assert there.first.startswith(f"{name}")
    assert "expected nothing, found " in there.first
    made[part] = {}
    there = found(made, loaded)[part]
    assert there.differ == there.compared > 30


def test_logits_and_text_are_compared(made, loaded):
    made["logits"][1]["margin"] += 0.1
    made["logits"][2]["ids"][19] += 1
    made["greedy"].pop()
    parts = found(made, loaded)
    assert parts["logits"].differ == 2
    assert parts["logits"].first.startswith("position 1: logits: expected (")
    assert parts["greedy"].first.startswith(f"token {len(made['greedy'])}: expected no")


def test_numbers_may_be_two_units_of_the_sixth_digit_apart():
    near, far = 1 + 0.9 * CLOSE, 1 + 1.1 * CLOSE
    assert compare("", {"l2": (1.0,)}, {"l2": (near,)}).differ == 0
    assert compare("", {"l2": (1.0,)}, {"l2": (far,)}).differ == 1
    assert compare("", {"l2": (1.0,)}, {"l2": (1.0, 1.0)}).differ == 1
    assert compare("", {"scale": 1.0}, {"scale": near}).differ == 1
