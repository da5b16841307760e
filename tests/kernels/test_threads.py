import os
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from threadpoolctl import threadpool_info

from minibitnet.kernels import threads
from minibitnet.kernels.threads import (
    count_threads,
    one_blas_thread,
    split,
    use_threads,
)
from minibitnet.model import forward


def blas_threads():
    return {i["num_threads"] for i in threadpool_info() if i["user_api"] == "blas"}


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("length", [0, 1, 2, 10])
def test_the_parts_make_up_the_whole_in_order(threads, length):
    with use_threads(threads):
        parts = split(lambda start, stop: list(range(start, stop)), length)
    assert sum(parts, []) == list(range(length))
    assert len(parts) == max(1, min(threads, length))


@pytest.mark.parametrize(("shortest", "parts"), [(0, 4), (3, 3), (5, 2), (6, 1)])
def test_a_part_is_no_shorter_than_is_worth_a_thread(shortest, parts):
    with use_threads(4):
        found = split(lambda start, stop: stop - start, 10, shortest)
    assert len(found) == parts
    assert sum(found) == 10
    assert len(found) == 1 or min(found) >= shortest


def test_parts_are_computed_at_once():
    both = threading.Barrier(2)
    with use_threads(2):
        assert len(split(lambda start, stop: both.wait(30), 2)) == 2


def test_outside_there_is_one_thread_and_blas_has_its_own():
    before = blas_threads()
    with use_threads(4), use_threads(2):
        assert blas_threads() == {1}
        assert len(split(lambda *part: part, 9)) == 2
    assert blas_threads() == before
    assert split(lambda *part: part, 9) == [(0, 9)]


def test_a_part_that_fails_fails_the_whole():
    def work(start, stop):
        raise KeyError(start)

    for n in (1, 2):
        with use_threads(n), pytest.raises(KeyError):
            split(work, 2)
    with use_threads(1):
        assert split(lambda *part: part, 2) == [(0, 2)]


def test_as_many_threads_as_cores_unless_told_otherwise():
    assert count_threads(None) >= 1
    assert count_threads(5) == 5
    with pytest.raises(ValueError, match="threads must be 1 or above, got 0"):
        count_threads(0)


def test_small_and_large_parts_are_summed_alike():
    numbers = np.random.default_rng(0).integers(-9, 9, (100, 3))
    for n in (1, 2, 3):
        with use_threads(n):
            parts = split(lambda start, stop: numbers[start:stop].sum(axis=0), 100)
        assert_array_equal(np.add.reduce(parts), numbers.sum(axis=0))


def test_where_no_thread_can_start_the_parts_are_computed_one_by_one(monkeypatch):
    class NoThreads:
        def submit(self, work, *part):
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threads, "_pool", lambda n: NoThreads())
    with use_threads(3):
        parts = split(lambda start, stop: list(range(start, stop)), 10)
    assert parts == [[0, 1, 2], [3, 4, 5], [6, 7, 8, 9]]


def test_without_threadpoolctl_blas_keeps_its_threads(monkeypatch):
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    threads._find_blas.cache_clear()
    before = blas_threads()
    with use_threads(2):
        assert blas_threads() == before
        assert len(split(lambda *part: part, 9)) == 2
    threads._find_blas.cache_clear()


def in_a_forked_child(work):
    """Whether a child does some work and leaves within a while."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            status = 0 if work() else 1
        finally:
            os._exit(status)
    for _ in range(600):
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return status == 0
        time.sleep(0.05)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")


def cut(n):
    with use_threads(n):
        return split(lambda *part: part, 6) == [(0, 3), (3, 6)]


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_has_threads_of_its_own():
    assert cut(2)
    assert in_a_forked_child(lambda: cut(2))
    assert in_a_forked_child(lambda: in_a_forked_child(lambda: cut(2)))
    assert cut(2)


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_child_does_not_wait_for_those_who_computed_when_it_was_made():
    before, inside, leave = blas_threads(), threading.Event(), threading.Event()

    def compute():
        with one_blas_thread():
            inside.set()
            leave.wait(30)

    other = threading.Thread(target=compute)
    other.start()
    inside.wait(30)
    assert in_a_forked_child(lambda: blas_threads() == before and cut(2))
    with one_blas_thread():  # who forked is inside, and so is its child
        assert in_a_forked_child(lambda: blas_threads() == {1} and cut(2))
    assert blas_threads() == {1}
    leave.set()
    other.join()
    assert blas_threads() == before


@pytest.mark.parametrize("first", [0, 1])
def test_the_last_who_computes_gives_blas_its_threads_back(first):
    before = blas_threads()
    for _ in range(2):  # and afterwards another thread may take them
        pools = [ThreadPoolExecutor(1) for _ in range(2)]
        holds = [one_blas_thread() for _ in pools]
        for pool, hold in zip(pools, holds, strict=True):
            pool.submit(hold.__enter__).result()
            assert blas_threads() == {1}
        pools[first].submit(holds[first].__exit__, None, None, None).result()
        assert blas_threads() == {1}
        pools[1 - first].submit(holds[1 - first].__exit__, None, None, None).result()
        assert blas_threads() == before


def test_what_is_forgotten_in_a_child():
    pool = threads._pool(2)
    threads._lock.acquire()
    threads._inside.append(-1)  # a thread that the child does not have
    threads._start_anew()
    assert threads._pool(2) is not pool
    assert threads._inside == []
    assert not threads._lock.locked()


def test_what_a_child_was_in_the_middle_of_it_still_is():
    with one_blas_thread():
        threads._lock.acquire()
        threads._start_anew()
        assert blas_threads() == {1}
        assert len(threads._inside) == 1


def test_each_release_of_threadpoolctl_is_made_to_forget_whose_blas_is():
    class Old:
        pass

    class New:
        def clear_controlling_thread(self, force):
            forced.append(force)

    forced = []
    threads._disown(SimpleNamespace(lib_controllers=[Old(), New()]))
    assert forced == [True]


def test_a_model_computes_the_same_in_several_threads_of_python(model):
    before, ids = blas_threads(), [1, 2, 3, 4]
    for n in (1, 2, 3):
        shared = replace(model, threads=n)
        expected = forward(shared, ids)
        with ThreadPoolExecutor(3) as pool:
            for logits in pool.map(forward, 30 * [shared], 30 * [ids]):
                assert_array_equal(logits, expected)
        assert blas_threads() == before
