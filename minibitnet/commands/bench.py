"""How fast, and in how much memory: kernels side by side.

Every way of computing is measured in turn, each in a process of its own, and then all
of them again: so a machine that is slower for a minute is slower for all. What is
reported is the median of the rounds, and how far they lie apart.
"""

import argparse
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from minibitnet.checkpoint import find_directory
from minibitnet.evaluation.speed import BASELINES, Job, measure
from minibitnet.commands.options import print_json
from minibitnet.files.published import CONFIG
from minibitnet.kernels import KERNELS
from minibitnet.kernels.threads import count_threads
from minibitnet.checkpoint.synth import write_checkpoint

KNOWN = (*KERNELS, *BASELINES)


def numbers(text: str) -> tuple[int, ...]:
    """Whole numbers with commas between."""
    return tuple(int(word) for word in text.split(","))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet bench`` takes."""
    add = parser.add_argument
    add(
        "--model",
        metavar="DIR_OR_ID",
        help="which checkpoint (default: random weights in the size of 2B4T, 1.2 GB)",
    )
    add(
        "--ways",
        default="auto,lookup,blas,popcount",
        metavar="NAMES",
        help=f"which of {', '.join(KNOWN)} (default %(default)s)",
    )
    threads = ",".join(sorted({"1", str(count_threads(None))}))
    add("--threads", type=numbers, default=numbers(threads), metavar="N,N")
    add("--prefill", type=numbers, default=(16, 128, 512), metavar="T,T", help="tokens")
    add(
        "--decode", type=numbers, default=(16, 1024, 4096), metavar="S,S", help="tokens"
    )
    add("--rounds", type=int, default=3, metavar="N", help="(default %(default)s)")
    add(
        "--patience",
        type=float,
        default=20.0,
        metavar="SECONDS",
        help="leave out what would take longer (default %(default)s)",
    )
    add("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Measure, and print a table.

    Raises
    ------
    ValueError
        If there is no such way of computing.
    """
    ways = args.ways.split(",")
    for way in ways:
        if way not in KNOWN:
            raise ValueError(f"--ways must be of {', '.join(KNOWN)}, got {way!r}")
    with checkpoint(args.model) as directory:
        jobs = [
            Job(directory, way, threads, args.prefill, args.decode, args.patience)
            for way in ways
            for threads in args.threads
        ]
        machine, rounds = measure_all(jobs, args.rounds)
    rows = [
        {"way": job.way, "threads": job.threads} | summarize(list(reports))
        for job, reports in zip(jobs, zip(*rounds, strict=True), strict=True)
    ]
    if args.json:
        print_json({"machine": machine, "rounds": args.rounds, "ways": rows})
    else:
        print_table(machine, rows, args)
    return 0


@contextmanager
def checkpoint(model: str | None) -> Iterator[Path]:
    """The checkpoint to measure."""
    if model is not None:
        yield find_directory(model)
        return
    with tempfile.TemporaryDirectory() as place:
        write_checkpoint(Path(place), CONFIG, quiet=not sys.stderr.isatty())
        yield Path(place)


def measure_all(
    jobs: Sequence[Job], rounds: int
) -> tuple[dict[str, Any], list[list[dict[str, Any]]]]:
    """Every job in a process of its own, in turn, and again."""
    context = multiprocessing.get_context("spawn")
    machines = []
    reports: list[list[dict[str, Any]]] = []
    with tqdm(total=rounds * len(jobs), desc="measuring") as bar:
        for _ in range(rounds):
            machines.append(measure_machine(jobs[0].threads, jobs[-1].threads))
            reports.append([])
            for job in jobs:
                bar.set_postfix_str(f"{job.way}, {job.threads} threads")
                with context.Pool(1) as pool:
                    reports[-1].append(pool.apply(measure, (job,)))
                    pool.close()
                    pool.join()  # leaving the ``with`` would break it off
                bar.update()
    machine = {key: median(m[key] for m in machines) for key in machines[0]}
    return machine, reports


def measure_machine(*threads: int) -> dict[str, float]:
    """What the fastest kernel could reach."""
    memory = np.ones(64 * 2**20, np.float32)  # 256 MB, more than caches hold
    matrix = np.ones((1024, 1024), np.float32)
    rates = {}
    for n in sorted(set(threads)):
        parts = np.split(memory, n)
        seconds = at_once([part.sum for part in parts])
        rates[f"GB/s, {n} threads"] = memory.nbytes / seconds / 1e9
        seconds = at_once([lambda: matrix @ matrix] * n)
        rates[f"GFLOP/s, {n} threads"] = n * 2 * 1024**3 / seconds / 1e9
    return rates


def at_once(works: Sequence[Callable[[], object]]) -> float:
    """How long it takes until all have done their work."""
    tries = []
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(len(works)) as pool:
        for _ in range(8):
            start = time.perf_counter()
            list(pool.map(lambda work: work(), works))
            tries.append(time.perf_counter() - start)
    return min(tries)


def summarize(reports: Sequence[Any]) -> Any:
    """The median of each number, and how far they lie apart."""
    if isinstance(reports[0], dict):
        keys = [key for key in reports[0] if all(key in r for r in reports)]
        return {key: summarize([r[key] for r in reports]) for key in keys}
    if reports[0] is None:
        return None
    return {"median": median(reports), "low": min(reports), "high": max(reports)}


def print_table(
    machine: dict[str, float], rows: list[dict[str, Any]], args: argparse.Namespace
) -> None:
    """Print for people."""
    print(", ".join(f"{rate:.0f} {name}" for name, rate in machine.items()))
    lengths = [("prefill", T) for T in args.prefill] + [
        ("decode", S) for S in args.decode
    ]
    heads = [f"{kind} {length}" for kind, length in lengths]
    heads = ["way", "threads", "load, s", *heads, "peak, GB"]
    print("\ntokens a second\n\n| " + " | ".join(heads) + " |")
    print("|---" * len(heads) + "|")
    for row in rows:
        rates = [show(row[kind].get(length)) for kind, length in lengths]
        memory = row["memory"] and row["memory"] | {
            key: size / 1e9 for key, size in row["memory"].items()
        }
        cells = [row["way"], str(row["threads"]), show(row["load"]), *rates]
        print("| " + " | ".join([*cells, show(memory)]) + " |")
    stages = rows[0]["stages"]
    print(
        f"\na decode step of {rows[0]['way']}, {rows[0]['threads']} threads, by stage:"
    )
    for name, seconds in sorted(stages.items(), key=lambda s: -s[1]["median"])[:12]:
        print(f"  {name:16} {seconds['median'] * 1000:7.1f} ms")


def show(number: dict[str, float] | None) -> str:
    """A median and how far the rounds lie apart."""
    if number is None:
        return "-"
    digits = 2 if number["median"] < 10 else 0
    low, high = (f"{number[key]:.{digits}f}" for key in ("low", "high"))
    middle = f"{number['median']:.{digits}f}"
    return middle if low == high else f"{middle} ({low}-{high})"
