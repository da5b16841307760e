"""Rounds: every way of computing measured in turn, and then all of them again.

Each way is measured in a process of its own, so that its memory is its own. A round
measures all of them once; so a machine that is slower for a minute is slower for all.
What is reported is the median of the rounds, and their range. Beside it stands what the
machine can do at best: bytes read and products made in a second.

Examples
--------
>>> summarize([{"load": 3.0}, {"load": 1.0}, {"load": 1.5}])
{'load': {'median': 1.5, 'low': 1.0, 'high': 3.0}}
"""

import multiprocessing
import signal
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import median
from typing import Any

import numpy as np

from minibitnet.evaluation.speed import Job, measure
from minibitnet.files.progress import progress
from minibitnet.kernels.threads import one_blas_thread

MEMORY = 2**26  # int32 that are read: 256 MB, more than caches hold
TRIES = 8  # the best of them is what the machine can do


def measure_rounds(
    jobs: Sequence[Job], rounds: int
) -> tuple[dict[str, float], list[dict[str, Any]]]:
    """What the machine can do, and a summary of each job."""
    threads = sorted({job.threads for job in jobs})
    machines: list[dict[str, float]] = []
    reports: list[list[dict[str, Any]]] = [[] for _ in jobs]
    for n, job in enumerate(progress([*jobs] * rounds, "measuring")):
        if n % len(jobs) == 0:
            machines.append(measure_machine(threads))
        reports[n % len(jobs)].append(measure_apart(job))
    machine = {key: median(m[key] for m in machines) for key in machines[0]}
    return machine, [summarize(several) for several in reports]


def measure_apart(job: Job) -> dict[str, Any]:
    """`measure` in a process of its own."""
    quietly = (signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for us, who then end it
    with multiprocessing.get_context("spawn").Pool(1, signal.signal, quietly) as pool:
        report = pool.apply(measure, (job,))
        pool.close()
        pool.join()  # leaving the ``with`` would kill it
    return report


def measure_machine(threads: Sequence[int]) -> dict[str, float]:
    """What the fastest kernel could reach, for each number of threads."""
    memory = np.ones(MEMORY, np.int32)
    matrix = np.ones((1024, 1024), np.float32)
    rates = {}
    for n in threads:
        # Of all reductions the one that does least besides reading; a sum takes longer.
        seconds = at_once([part.max for part in np.array_split(memory, n)])
        rates[f"GB/s, {n} threads"] = memory.nbytes / seconds / 1e9
        seconds = at_once([lambda: matrix @ matrix] * n)
        rates[f"GFLOP/s, {n} threads"] = n * 2 * 1024**3 / seconds / 1e9
    return rates


def at_once(works: Sequence[Callable[[], object]]) -> float:
    """Seconds until all are done, each in a thread of its own."""
    tries = []
    with one_blas_thread(), ThreadPoolExecutor(len(works)) as pool:
        for _ in range(TRIES):
            start = time.perf_counter()
            list(pool.map(lambda work: work(), works))
            tries.append(time.perf_counter() - start)
    return min(tries)


def summarize(reports: Sequence[Any]) -> Any:
    """The median of each number, and its range; of what every report has."""
    if isinstance(reports[0], dict):
        keys = [key for key in reports[0] if all(key in r for r in reports)]
        return {key: summarize([r[key] for r in reports]) for key in keys}
    if reports[0] is None:
        return None
    return {"median": median(reports), "low": min(reports), "high": max(reports)}
