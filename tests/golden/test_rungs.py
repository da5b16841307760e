# What transformers computed in float32 and bfloat16, recorded by
# tools/record_precision.py, beside the page in those arithmetics.

from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minibitnet import bf16, one_page
from minibitnet.golden.precision import distance, read
from minibitnet.golden.rungs import BFLOAT16, RUNGS
from minibitnet.golden.zoo.bug import mutate
from minibitnet.stories import BUILT_IN

HERE = Path(__file__).parent / "precision"
RECORDED = Path(__file__).parents[1] / "recorded"
MODELS = {
    "stories": BUILT_IN,
    "packed_tied": RECORDED / "packed_tied",
    "packed_untied": RECORDED / "packed_untied",
}
LAST_BITS = 1e-6  # of the length: float32 sums in another order
each_model = pytest.mark.parametrize("name", MODELS)
NO_STAGE = 2  # the first changes only make the function that rounds
OF_LOGITS = 1  # and the last is behind all that is recorded


def recorded(name):
    with np.load(HERE / f"{name}.npz") as found:
        return dict(found)


def hidden(stages, layers):
    return np.stack([stages[f"layers.{n}.ffn_residual"] for n in range(layers)])


def tokens(stages):
    return stages["logits"].argmax(axis=1)


@each_model
def test_in_bfloat16_the_page_has_the_bits_of_transformers(name):
    found = recorded(name)
    stages = read("bfloat16", MODELS[name], found["ids"])
    after_layers = hidden(stages, len(found["bfloat16"]))
    assert_array_equal(bf16.narrow(after_layers), found["bfloat16"], strict=True)
    assert_array_equal(bf16.widen(found["bfloat16"]), after_layers)
    assert_array_equal(tokens(stages), found["tokens_bfloat16"])


@pytest.mark.parametrize("n", range(NO_STAGE, len(BFLOAT16) - OF_LOGITS))
def test_without_any_of_its_changes_it_has_others(n):
    found = recorded("stories")
    page = mutate(*BFLOAT16[:n], *BFLOAT16[n + 1 :])
    stages = {}
    page.forward(*page.load(BUILT_IN), found["ids"], [], stages)
    after_layers = hidden(stages, len(found["bfloat16"]))
    assert (after_layers != bf16.widen(found["bfloat16"])).any()


@each_model
def test_in_float32_it_is_nearer_to_transformers_than_the_contract_is(name):
    found = recorded(name)
    ids, right = found["ids"], found["float32"]
    page = {}
    one_page.forward(*one_page.load(MODELS[name]), ids, [], page)
    stages = read("float32", MODELS[name], ids)
    assert_array_equal(tokens(stages), found["tokens_float32"])
    assert distance(right[0], hidden(stages, 1)[0]) < LAST_BITS
    if name == "stories":  # trained: codes part, by the scale's rounding first
        far = distance(right[0], hidden(page, 1)[0])
        assert far > 1000 * LAST_BITS
        assert distance(right[0], hidden(read("dequantized", BUILT_IN, ids), 1)[0]) > (
            0.9 * far
        )
        layers = len(right)
        assert distance(right, hidden(stages, layers)) < (
            0.6 * distance(right, hidden(page, layers))
        )
    else:  # drawn so that no activation is near a tie
        assert distance(right, hidden(stages, len(right))) < LAST_BITS
        assert distance(right, hidden(page, len(right))) < LAST_BITS


def test_the_page_stays_as_it_is():
    source = Path(one_page.__file__).read_text(encoding="utf-8")
    for name, changes in RUNGS.items():
        assert all(change.name == name for change in changes)
        assert all(source.count(change.right) == 1 for change in changes)
    assert "bf16" not in vars(one_page)
