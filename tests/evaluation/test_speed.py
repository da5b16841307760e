from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import minibitnet as mb
from minibitnet.checkpoint.synth import SMALL, write_checkpoint
from minibitnet.evaluation import speed
from minibitnet.evaluation.speed import (
    TOKENS,
    Job,
    measure,
    prepare,
    pretend,
    time_steps,
)


@pytest.mark.parametrize("way", ["auto", "masks", "float32"])
def test_each_length_is_measured(checkpoint, way):
    report = measure(Job(checkpoint, way, 2, (4, 30, 65), (4, 64), patience=60))
    assert report["prefill"].keys() == {4, 30}  # 65 are more than the context
    assert report["decode"].keys() == {4, 64}
    rates = [*report["prefill"].values(), *report["decode"].values()]
    assert min(rates) > 0
    assert 1e7 < report["memory"] < 1e10
    with mb.trace() as stages:
        mb.forward(mb.load(checkpoint)[0], [1])
    assert report["stages"].keys() == {name.split(".", 2)[-1] for name in stages}


def test_a_short_prompt_fits_in_a_short_context(tmp_path):
    short = SMALL | {"max_position_embeddings": 12}
    write_checkpoint(tmp_path, short)
    report = measure(Job(tmp_path, "blas", 1, (4,), (2,), patience=60))
    assert report["prefill"].keys() == {4}


def test_a_prompt_of_any_length_that_fits_is_read_whole(checkpoint, monkeypatch):
    read = []
    config = replace(mb.load(checkpoint)[0].config, max_position_embeddings=5000)
    ready = (lambda ids, length: read.append(len(ids)), config, None)
    monkeypatch.setattr(speed, "prepare", lambda job: ready)
    report = measure(Job(checkpoint, "blas", 2, (4500,), (6000,), patience=1e9))
    assert report["prefill"].keys() == {4500}
    assert max(read) == 4500
    assert report["decode"] == {}  # 6000 are more than the context


def test_without_a_decode_step_there_are_stages_all_the_same(checkpoint):
    report = measure(Job(checkpoint, "blas", 1, (4,), (65,), patience=60))
    assert report["decode"] == {}
    assert report["stages"]


def test_a_context_too_short_to_measure_is_refused(tmp_path):
    write_checkpoint(tmp_path, SMALL | {"max_position_embeddings": 4})
    with pytest.raises(ValueError, match="context must be 5 or more"):
        measure(Job(tmp_path, "blas", 1, (2,), (2,), patience=60))
    write_checkpoint(tmp_path / "enough", SMALL | {"max_position_embeddings": 5})
    report = measure(Job(tmp_path / "enough", "blas", 1, (2,), (2,), patience=60))
    assert report["decode"].keys() == {2}


def test_what_would_take_too_long_is_left_out(checkpoint, monkeypatch):
    lengths = []
    clock = speed.clock
    monkeypatch.setattr(
        speed,
        "clock",
        lambda run, ids, length: lengths.append(len(ids)) or clock(run, ids, length),
    )
    report = measure(Job(checkpoint, "auto", 1, (30,), (4, 8), patience=0))
    assert report["prefill"] == {}
    assert report["decode"].keys() == {4}  # the first step, whatever it takes
    assert report["stages"]
    assert set(lengths) == {1}  # no prompt was read to guess by


def test_each_step_is_one_token_further():
    seen = []
    steps = time_steps(lambda ids, length: seen.append(length), np.arange(9), 7, 1e9)
    assert len(list(steps)) == TOKENS
    assert seen == [7, 8, 9, 10, 11]


def test_the_baseline_says_the_same(checkpoint):
    run, _, _ = prepare(Job(checkpoint, "float32", 1, (), (), 1))
    logits = run(np.arange(1, 4), 0)
    expected = mb.forward(mb.load(checkpoint)[0], [1, 2, 3], last=True)
    assert logits.argmax() == expected.argmax()
    # logits that cannot be the largest are summed in float32, in any order
    assert_allclose(logits, expected, rtol=1e-5, atol=1e-6)


def test_transformers_is_measured_where_it_is_installed(checkpoint, monkeypatch):
    config = mb.load(checkpoint)[0].config
    ready = (lambda ids, length: None, config, None)
    monkeypatch.setattr(speed, "prepare_transformers", lambda job: ready)
    report = measure(Job(checkpoint, "transformers", 1, (4,), (4,), patience=60))
    assert report["stages"] == {}
    assert report["prefill"].keys() == report["decode"].keys() == {4}


def test_a_cache_is_made_longer_or_shorter(model):
    cache = mb.KVCache(model.config, 20)
    mb.forward(model, [1, 2, 3], cache)
    keys = cache.keys[:, :, :3].copy()
    pretend(cache, 10)
    assert cache.length == 10
    assert_array_equal(cache.keys[:, :, :3], keys)
    assert cache.values[:, :, 3:10].all()
    assert not cache.values[:, :, 10:].any()
    pretend(cache, 2)
    assert cache.length == 2
