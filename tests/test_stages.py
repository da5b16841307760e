from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import numpy as np
import pytest

from minibitnet import KVCache, forward, trace
from minibitnet.weights import matrices, norms
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.files.published import CONFIG
from minibitnet.stages import (
    EMBED,
    FINAL_NORM,
    IN_A_BLOCK,
    LOGITS,
    stage,
    within,
)

ZERO = np.zeros(1, np.float32)


def rows(config):
    """The table's rows for a model, by the full name."""
    block = [
        row for row in IN_A_BLOCK if config.sub_norms or "sub_norm" not in row.name
    ]
    layers = range(config.num_hidden_layers)
    return (
        {"embed": EMBED}
        | {f"layers.{L}.{row.name}": row for L in layers for row in block}
        | {"final_norm": FINAL_NORM, "logits": LOGITS}
    )


def test_a_trace_has_the_names_of_the_table_in_their_order(model):
    with trace() as stages:
        forward(model, [1, 2, 3])
    assert [*stages] == [*rows(model.config)]


def test_every_stage_has_the_shape_and_dtype_of_the_table(model):
    letters = dict(zip("TSDHGdFV", (5, 8, 40, 4, 2, 6, 50, 97), strict=True))
    cache = KVCache(model.config, capacity=20)
    forward(model, [1, 2, 3], cache)  # so that S is not T
    with trace() as stages:
        forward(model, [4, 5, 6, 7, 8], cache)
    for name, row in rows(model.config).items():
        assert stages[name].shape == eval(row.shape, letters), name
        assert stages[name].dtype == row.dtype, name


@pytest.mark.parametrize("table", [IN_A_BLOCK, (EMBED, FINAL_NORM, LOGITS)])
def test_integers_are_the_stages_that_end_in_codes_and_acc(table):
    for row in table:
        is_integer = row.name.endswith((".codes", ".acc"))
        assert np.issubdtype(row.dtype, np.integer) == is_integer


def test_a_stage_is_the_very_array_whether_or_not_somebody_listens():
    assert stage("q", ZERO) is ZERO
    with trace() as stages:
        assert stage("q", ZERO) is ZERO
    assert stages["q"] is ZERO


def test_a_later_pass_overwrites_an_earlier_one(model):
    with trace() as stages:
        forward(model, [1, 2, 3])
        logits = forward(model, [4])
    assert stages["logits"] is logits


def test_a_trace_in_a_trace_listens_instead_of_it():
    with trace() as outer:
        stage("before", ZERO)
        with within("layers.0."), trace() as inner:
            stage("q", ZERO)
        stage("after", ZERO)
    assert [*outer] == ["before", "after"]
    assert [*inner] == ["q"]


def speak_and_fail():
    with within("a."), within("b."):
        stage("q", ZERO)
        raise KeyError("wrong")


def test_prefixes_add_up_and_end_with_an_error():
    with trace() as stages:
        with pytest.raises(KeyError, match="wrong"):
            speak_and_fail()
        stage("k", ZERO)
    stage("v", ZERO)
    assert [*stages] == ["a.b.q", "k"]


def test_a_trace_does_not_hear_another_thread():
    together = Barrier(2)

    def keep(name):
        with trace() as stages:
            together.wait(timeout=10)  # both listen
            stage(name, ZERO)
            together.wait(timeout=10)  # both have been heard
        return [*stages]

    with ThreadPoolExecutor(2) as threads:
        assert [*threads.map(keep, ("one", "other"))] == [["one"], ["other"]]


def test_the_names_in_transformers_are_modules_of_its_model():
    # Each is a norm or matrix that the checkpoint has under the same name.
    config = parse_config(CONFIG)
    inside = matrices(config).keys() | norms(config).keys()
    named = {stage.hf for stage in IN_A_BLOCK if stage.hf}
    assert named == inside
    gguf = [stage.gguf for stage in (EMBED, *IN_A_BLOCK, FINAL_NORM) if stage.gguf]
    assert len(set(gguf)) == len(gguf)
