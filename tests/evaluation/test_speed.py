import json
import multiprocessing

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import minibitnet as mb
from minibitnet.cli import main
from minibitnet.commands import bench
from minibitnet.commands import measure as bench_measure
from minibitnet.evaluation.speed import TOKENS, Job, decode, measure, pretend
from minibitnet.files.published import CONFIG
from minibitnet.kernels import KERNELS


@pytest.mark.parametrize("way", ["auto", "masks", "float32"])
def test_each_length_is_measured(checkpoint, way, monkeypatch):
    monkeypatch.setitem(KERNELS, "float32", None)  # the baseline is not for others
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
    words = ["synth", str(tmp_path), "--vocab-size", "64", "--hidden-size", "64"]
    assert main([*words, "--context", "12"]) == 0
    report = measure(Job(tmp_path, "blas", 1, (4,), (2,), patience=60))
    assert report["prefill"].keys() == {4}


def test_what_would_take_too_long_is_left_out(checkpoint, monkeypatch):
    lengths = []
    clock = bench_measure.clock
    monkeypatch.setattr(
        bench_measure,
        "clock",
        lambda run, ids, length: lengths.append(len(ids)) or clock(run, ids, length),
    )
    report = measure(Job(checkpoint, "auto", 1, (30,), (4, 8), patience=0))
    assert report["prefill"] == {}
    assert report["decode"].keys() == {4}  # the first step, whatever it takes
    assert report["stages"]
    assert set(lengths) == {1}  # no prompt was read to guess by
    monkeypatch.undo()
    spent = []
    steps = decode(lambda ids, length: spent.append(length), np.arange(9), 7, 1e9)
    assert len(list(steps)) == TOKENS
    assert spent == [7, 8, 9, 10, 11]


def test_the_baseline_says_the_same(checkpoint, monkeypatch):
    from minibitnet.evaluation.speed import prepare

    monkeypatch.setitem(KERNELS, "float32", None)
    run, _, _ = prepare(Job(checkpoint, "float32", 1, (), (), 1))
    expected = mb.forward(mb.load(checkpoint)[0], [1, 2, 3], last=True)
    np.testing.assert_allclose(run(np.arange(1, 4), 0), expected, rtol=1e-5, atol=1e-6)


def test_transformers_is_measured_where_it_is_installed(checkpoint, monkeypatch):
    config = mb.load(checkpoint)[0].config
    ready = (lambda ids, length: None, config, None)
    monkeypatch.setattr(bench_measure, "prepare_transformers", lambda job: ready)
    report = measure(Job(checkpoint, "transformers", 1, (4,), (4,), patience=60))
    assert report["stages"] == {}
    assert report["prefill"].keys() == report["decode"].keys() == {4}


def test_a_cache_of_a_text_that_nobody_has_read(model):
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


def test_the_table_has_a_row_for_each_way_and_number_of_threads(capsys, checkpoint):
    words = ["bench", "--model", str(checkpoint), "--ways", "auto,masks", "--rounds", 1]
    words += ["--threads", "1,2", "--prefill", "4,40", "--decode", 4]
    assert main([str(word) for word in words]) == 0
    out = capsys.readouterr().out
    rows = [line for line in out.splitlines() if line.startswith("| ")]
    assert [row.split("|")[1:3] for row in rows] == [
        *([" way ", " threads "], [" auto ", " 1 "], [" auto ", " 2 "]),
        *([" masks ", " 1 "], [" masks ", " 2 "]),
    ]
    assert "GFLOP/s, 2 threads" in out
    assert "gate.acc" in out


def test_as_json_with_the_medians_of_rounds(capsys, checkpoint, monkeypatch):
    seconds = iter([3, 1, 2])
    monkeypatch.setattr(
        bench, "measure", lambda job: {"load": next(seconds), "memory": None}
    )
    monkeypatch.setattr(multiprocessing, "get_context", lambda kind: Here())
    words = ["bench", "--model", str(checkpoint), "--ways", "blas", "--threads", "1"]
    assert main([*words, "--json"]) == 0
    [row] = json.loads(capsys.readouterr().out)["ways"]
    assert row["load"] == {"median": 2, "low": 1, "high": 3}
    assert row["memory"] is None


class Here:
    """A pool of processes that is this one."""

    def Pool(self, n):
        return self

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        pass

    def apply(self, function, arguments):
        return function(*arguments)

    def close(self):
        pass

    join = close


def test_an_unknown_way_is_refused(capsys, checkpoint):
    assert main(["bench", "--model", str(checkpoint), "--ways", "cuda"]) == 2
    assert "--ways must be of auto" in capsys.readouterr().err


def test_by_default_it_measures_the_size_of_2b4t(monkeypatch):
    def written(directory, content, quiet):
        assert content == CONFIG
        (directory / "config.json").write_text("{}")

    monkeypatch.setattr(bench, "write_checkpoint", written)
    with bench.checkpoint(None) as directory:
        assert (directory / "config.json").exists()
    assert not directory.exists()


def test_how_a_number_is_shown():
    assert bench.show(None) == "-"
    assert bench.show({"median": 4.1, "low": 3.9, "high": 4.25}) == "4.10 (3.90-4.25)"
    assert bench.show({"median": 41.2, "low": 41.1, "high": 41.3}) == "41"
