"""Threads: a product cut into parts that are computed at once.

Python runs one thread at a time, but NumPy lets the others run while it is inside a
large operation. So a kernel cuts its work into as many parts as there are threads, and
each part makes a few long calls. The parts are summed or laid side by side in a fixed
order: how many threads there were cannot be seen from the result.

BLAS has threads of its own and is held to one. It would cut each of our blocks, which
are made to fit a core's cache, into parts so small that its threads mostly wait for
each other; and where another process wants the same cores, they wait a hundred times
longer than they compute.

References
----------
https://github.com/joblib/threadpoolctl

Examples
--------
>>> with use_threads(2):
...     split(lambda start, stop: list(range(start, stop)), 5)
[[0, 1], [2, 3, 4]]
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from itertools import pairwise
from typing import TypeVar

from threadpoolctl import ThreadpoolController

Result = TypeVar("Result")
_threads: ContextVar[int] = ContextVar("threads", default=1)


@contextmanager
def use_threads(threads: int) -> Iterator[None]:
    """Let `split` use threads inside the ``with``, and BLAS one.

    Parameters
    ----------
    threads : int
        How many compute at once.
    """
    token = _threads.set(threads)
    try:
        with _find_blas().limit(limits=1):
            yield
    finally:
        _threads.reset(token)


def split(
    work: Callable[[int, int], Result], length: int, shortest: int = 1
) -> list[Result]:
    """Compute ``work(start, stop)`` for parts of a range, all at once.

    Parameters
    ----------
    work : callable
        From where a part begins and ends to its result.
    length : int
        Where the range ends; it begins at 0.
    shortest : int
        What is worth a thread: to hand a part over takes some 50 microseconds.

    Returns
    -------
    results : list
        Of the parts in their order; at most one part for each thread.
    """
    threads = max(1, min(_threads.get(), length // max(1, shortest)))
    first, *others = pairwise(length * n // threads for n in range(threads + 1))
    running = [_pool(threads).submit(work, *part) for part in others]
    return [work(*first), *(future.result() for future in running)]


def count_threads(threads: int | None) -> int:
    """How many threads to use.

    Parameters
    ----------
    threads : int or None
        What was asked for; None: as many as this process has cores.

    Returns
    -------
    threads : int
        At least 1.

    Raises
    ------
    ValueError
        If it is less than 1.
    """
    if threads is None:
        if hasattr(os, "sched_getaffinity"):  # pragma: no branch  (Linux)
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1  # pragma: no cover  (elsewhere)
    if threads < 1:
        raise ValueError(f"threads must be 1 or above, got {threads}")
    return threads


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that wait for work; made once."""
    return ThreadPoolExecutor(threads, thread_name_prefix="minibitnet")


@cache
def _find_blas() -> ThreadpoolController:
    """The BLAS that NumPy has loaded; looked for once, it takes milliseconds."""
    return ThreadpoolController().select(user_api="blas")
