"""The comparison of traces that notebook 17 teaches."""

import ast

import numpy as np
import pytest
from shared import ROOT

import minibitnet as mb

SOURCE = ROOT / "notebooks" / "17_stages.py"


def functions():
    """What the cells of the notebook define, without running them."""
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    tree.body = [
        node
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
        and node.name in ("is_wrong", "first_difference")
    ]
    exec(compile(tree, str(SOURCE), "exec"), names := {"np": np})
    return names


first_difference = functions()["first_difference"]


@pytest.fixture(scope="module")
def stages():
    model, tokenizer = mb.load()
    with mb.trace() as stages:
        mb.forward(model, tokenizer.encode("Once upon a time"))
    return stages


def changed(stages, name, array):
    return {**stages, name: array}


def test_what_is_equal_is_right(stages):
    assert first_difference(stages, stages) is None
    lists = {name: array.astype(np.float64).tolist() for name, array in stages.items()}
    assert first_difference(stages, lists) is None
    extra = {"mine": np.zeros(3), **dict(reversed(stages.items()))}
    assert first_difference(stages, extra) is None
    zeros = {"relu2": np.zeros((2, 3), np.float32), "none": np.zeros((0, 3))}
    assert first_difference(zeros, zeros) is None


def test_an_integer_that_is_off_by_one_is_wrong_in_every_stage(stages):
    integers = [name for name, array in stages.items() if array.dtype.kind == "i"]
    assert len(integers) == 6 * 11
    for name in integers:
        other = stages[name].astype(np.int64)
        other.flat[-1] += 1
        assert first_difference(stages, changed(stages, name, other)) == name


def test_a_large_integer_has_no_tolerance_either():
    right = {"acc": np.array([[877_824, 2**31 - 1]], np.int32)}
    assert first_difference(right, {"acc": np.array([[877_824, 2**31 - 2]])}) == "acc"


def test_floats_have_a_tolerance_beside_the_largest(stages):
    name = "layers.2.up"
    largest = np.abs(stages[name]).max()
    for off, found in ((0.5e-5, None), (2e-5, name)):
        other = stages[name].astype(np.float64)
        other[1, 1] += off * largest
        assert first_difference(stages, changed(stages, name, other)) == found
    small = {"x": np.zeros(2)}
    assert first_difference(small, {"x": np.array([0, 1e-30])}) == "x"


@pytest.mark.parametrize("name", ["layers.1.q.acc", "layers.1.q"])
@pytest.mark.parametrize(
    "change",
    [
        lambda x: np.where(np.arange(x.size).reshape(x.shape) == 7, np.nan, x),
        lambda x: np.where(np.arange(x.size).reshape(x.shape) == 7, np.inf, x),
        lambda x: x[:-1],
        lambda x: x[:1],
        lambda x: x.T,
        lambda x: x[..., None],
        lambda x: x[:, :0],
        lambda x: -x,
        lambda x: x.astype(str),
        lambda x: x.astype(object),
        lambda x: x + 1j,
        lambda x: x > 0,
        lambda x: None,
    ],
)
def test_what_is_not_the_same_is_wrong(stages, name, change):
    assert first_difference(stages, changed(stages, name, change(stages[name]))) == name


def test_unsigned_codes_are_wrong(stages):
    name = "layers.0.attn_in.codes"
    other = changed(stages, name, stages[name].astype(np.uint8))
    assert first_difference(stages, other) == name


def test_a_stage_that_is_missing_is_the_first_that_is_wrong(stages):
    others = dict(stages)
    del others["layers.0.k"]
    others["layers.0.o"] = others["layers.0.o"] + 1
    assert first_difference(stages, others) == "layers.0.k"
    assert first_difference(stages, {}) == "embed"
