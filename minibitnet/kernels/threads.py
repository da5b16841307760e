"""Threads: a product cut into parts that are computed at once.

Python runs one thread at a time, but NumPy lets the others run while it is inside a
large operation. So a kernel cuts its work into as many parts as there are threads, and
each part makes a few long calls. The parts are summed or laid side by side in a fixed
order: how many threads there were cannot be seen from the result.

BLAS has threads of its own and is held to one. It would cut each of our blocks, which
are made to fit a core's cache, into parts so small that its threads mostly wait for
each other; and where another process wants the same cores, they wait a hundred times
longer than they compute. How many it has belongs to the whole process. So where several
threads of Python compute at once, the first of them takes BLAS's threads away and the
last gives them back.

A forked child has all the memory of its parent and none of the threads. It starts its
own; to wait for those of the parent would be to wait for ever.

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
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import cache, partial
from itertools import pairwise
from threading import get_ident
from typing import Any, TypeVar

import numpy as np

Result = TypeVar("Result")
_threads: ContextVar[int] = ContextVar("threads", default=1)
_lock = threading.Lock()  # of the two below
_inside: list[int] = []  # the threads of Python that want BLAS to have one
_hold = ExitStack()  # what holds it to one while there are any


@contextmanager
def use_threads(threads: int) -> Iterator[None]:
    """Let `split` use so many threads inside the ``with``, and BLAS one."""
    token = _threads.set(threads)
    try:
        with one_blas_thread():
            yield
    finally:
        _threads.reset(token)


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Hold BLAS to one thread inside the ``with``, where threadpoolctl is installed."""
    thread = get_ident()
    with _lock:
        if not _inside and (blas := _find_blas()):
            _hold.callback(_restore, blas, blas.limit(limits=1))
        _inside.append(thread)
    try:
        yield
    finally:
        with _lock:
            _inside.remove(thread)
            if not _inside:
                _hold.close()


def split(
    work: Callable[[int, int], Result], length: int, shortest: int = 1
) -> list[Result]:
    """Compute ``work(start, stop)`` for parts of 0 to `length`, all at once.

    The results come in the order of the parts, at most one for each thread. A part is
    at least `shortest` long: to hand one over takes some 50 microseconds.
    """
    threads = max(1, min(_threads.get(), length // max(1, shortest)))
    first, *others = pairwise(length * n // threads for n in range(threads + 1))
    try:
        running = [_pool(threads).submit(work, *part) for part in others]
    except RuntimeError:  # no thread can be started, as in a browser
        return [work(*part) for part in (first, *others)]
    return [work(*first), *(future.result() for future in running)]


def count_threads(threads: int | None) -> int:
    """How many threads to use: what was asked for, or as many as there are cores."""
    if threads is None:
        if hasattr(os, "sched_getaffinity"):  # pragma: no branch  (Linux)
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1  # pragma: no cover  (elsewhere)
    if threads < 1:
        raise ValueError(f"threads must be 1 or above, got {threads}")
    return threads


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Threads that wait for work; made once.

    NumPy does not warn in them: whoever handed out the work looks at the result.
    """
    silent = partial(np.seterr, all="ignore")
    return ThreadPoolExecutor(threads, "minibitnet", initializer=silent)


@cache
def _find_blas() -> Any:
    """The BLAS that NumPy has loaded; looked for once, it takes milliseconds."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController().select(user_api="blas")


def _disown(blas: Any) -> None:
    """Let any thread set how many BLAS has: threadpoolctl 3.8 lets one at a time."""
    for library in blas.lib_controllers:
        if hasattr(library, "clear_controlling_thread"):
            library.clear_controlling_thread(force=True)


def _restore(blas: Any, limits: Any) -> None:
    """Give BLAS its threads back, whichever thread took them."""
    _disown(blas)
    limits.restore_original_limits()
    _disown(blas)


def _start_anew() -> None:
    """Forget, in a forked child, the threads that only its parent has."""
    _pool.cache_clear()
    _inside[:] = [thread for thread in _inside if thread == get_ident()]
    if not _inside:
        _hold.close()
    _lock.release()


if hasattr(os, "register_at_fork"):  # pragma: no branch  (not on Windows)
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_start_anew
    )
