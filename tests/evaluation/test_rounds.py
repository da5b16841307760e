import multiprocessing
from pathlib import Path

import numpy as np
import pytest

from minibitnet.evaluation import rounds
from minibitnet.evaluation.rounds import (
    at_once,
    measure_apart,
    measure_machine,
    measure_rounds,
    summarize,
)
from minibitnet.evaluation.speed import Job

HERE = Path()
JOBS = [Job(HERE, way, n, (), (), 1.0) for way in ("auto", "blas") for n in (1, 3)]


@pytest.fixture
def turns(monkeypatch):
    """What was measured, in order; a job's load is the number of its turn."""
    turns = []

    def measured(job):
        turns.append(job)
        return {"load": len(turns), "memory": None}

    def machine(threads):
        turns.append(threads)
        return {"GB/s": float(len(turns))}

    monkeypatch.setattr(rounds, "measure_apart", measured)
    monkeypatch.setattr(rounds, "measure_machine", machine)
    return turns


def test_a_round_measures_the_machine_and_then_each_way(turns):
    machine, summaries = measure_rounds(JOBS, rounds=3)
    assert turns == 3 * [[1, 3], *JOBS]
    assert machine == {"GB/s": 6}  # the second of turns 1, 6 and 11
    assert summaries[0]["load"] == {"median": 7, "low": 2, "high": 12}
    assert summaries[3]["load"] == {"median": 10, "low": 5, "high": 15}
    assert summaries[0]["memory"] is None


def test_the_same_way_twice_is_measured_twice(turns):
    _, summaries = measure_rounds([JOBS[0]] * 2, rounds=1)
    assert [summary["load"]["median"] for summary in summaries] == [2, 3]


def test_a_job_runs_in_a_process_of_its_own(checkpoint):
    report = measure_apart(Job(checkpoint, "blas", 1, (4,), (4,), 60))
    assert report["prefill"].keys() == {4}
    assert multiprocessing.active_children() == []


@pytest.mark.parametrize("threads", [[1, 2], [3, 5, 7]])
def test_the_machine_is_measured_for_any_number_of_threads(monkeypatch, threads):
    monkeypatch.setattr(rounds, "MEMORY", 2**10)
    monkeypatch.setattr(rounds, "TRIES", 1)
    rates = measure_machine(threads)
    units = ("GB/s", "GFLOP/s")
    assert [*rates] == [f"{unit}, {n} threads" for n in threads for unit in units]
    assert min(rates.values()) > 0


def test_all_of_the_memory_is_read_once(monkeypatch):
    monkeypatch.setattr(rounds, "MEMORY", 1000)
    read, products = [], []

    def note(works):
        if hasattr(works[0], "__self__"):
            assert {work() for work in works} == {1}
            read.append(sum(work.__self__.size for work in works))
        else:
            products.append(sum(np.sum(work()) for work in works))
        return 1.0

    monkeypatch.setattr(rounds, "at_once", note)
    rates = measure_machine([3])
    assert rates == {"GB/s, 3 threads": 4e-6, "GFLOP/s, 3 threads": 6 * 1024**3 / 1e9}
    assert (read, products) == ([1000], [3 * 1024**3])


def test_each_work_is_done_in_every_try(monkeypatch):
    monkeypatch.setattr(rounds, "TRIES", 4)
    done = []
    assert at_once([lambda: done.append("a"), lambda: done.append("b")]) > 0
    assert sorted(done) == 4 * ["a"] + 4 * ["b"]


def test_what_a_round_lacks_is_left_out():
    reports = [{"prefill": {4: 1.0, 8: 2.0}}, {"prefill": {4: 3.0}}]
    assert summarize(reports) == {
        "prefill": {4: {"median": 2.0, "low": 1.0, "high": 3.0}}
    }
