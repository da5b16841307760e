import sys
import threading

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from threadpoolctl import threadpool_info

from minibitnet.kernels import threads
from minibitnet.kernels.threads import count_threads, split, use_threads


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
