# What Hugging Face transformers computed from small random checkpoints of awkward
# sizes, recorded by tools/record_transformers.py.

from pathlib import Path

import numpy as np
import pytest
from here import KERNELS_HERE
from numpy.testing import assert_allclose, assert_array_equal

import minibitnet as mb

GOLDEN = Path(__file__).parent / "recorded"
CASES = (
    "llama_divides",
    "llama_master",
    "master_tied",
    "master_untied",
    "packed_divides",
    "packed_one_token",
    "packed_tied",
    "packed_untied",
)

# Of the largest number in the array. Both sides compute in float32, whose numbers lie
# 1e-7 apart, but add up in another order: they differed by 6e-7 when this was recorded.
# A mistake is larger: one activation rounded to the next code shows as 1e-3.
TOLERANCE = 1e-5


def load(case, kernel="auto"):
    model, _ = mb.load(GOLDEN / case, kernel=kernel)
    with np.load(GOLDEN / case / "recorded.npz") as recorded:
        return model, dict(recorded)


def assert_agrees(found, recorded):
    atol = TOLERANCE * np.abs(recorded).max()
    assert_allclose(found, recorded, rtol=0, atol=atol, strict=True)


def test_every_recorded_case_is_tested():
    assert sorted(path.name for path in GOLDEN.iterdir()) == list(CASES)


@pytest.mark.parametrize("kernel", KERNELS_HERE)
@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_transformers(case, kernel):
    model, recorded = load(case, kernel)
    logits = mb.forward(model, recorded["ids"])
    assert_agrees(logits, recorded["logits"])
    assert_array_equal(logits.argmax(axis=1), recorded["logits"].argmax(axis=1))


@pytest.mark.parametrize("kernel", KERNELS_HERE)
@pytest.mark.parametrize("case", CASES)
def test_tokens_after_each_layer_are_those_of_transformers(case, kernel):
    model, recorded = load(case, kernel)
    with mb.trace() as stages:
        mb.forward(model, recorded["ids"])
    assert len(recorded["hidden"]) == model.config.num_hidden_layers
    for L, hidden in enumerate(recorded["hidden"]):
        assert_agrees(stages[f"layers.{L}.ffn_residual"], hidden)


@pytest.mark.parametrize("length", [1, 5])
@pytest.mark.parametrize("case", CASES)
def test_logits_of_a_text_read_in_pieces_are_those_of_transformers(case, length):
    model, recorded = load(case)
    ids = recorded["ids"]
    cache = mb.KVCache(model.config, capacity=len(ids))
    starts = range(0, len(ids), length)
    pieces = [mb.forward(model, ids[t : t + length], cache) for t in starts]
    assert_agrees(np.concatenate(pieces), recorded["logits"])
