"""How fast, and in how much memory: kernels side by side."""

import argparse
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from minibitnet.checkpoint import find_directory
from minibitnet.checkpoint.convert import as_directory
from minibitnet.checkpoint.synth import write_checkpoint
from minibitnet.commands.options import (
    NOT_NEGATIVE,
    THREADS,
    at_least,
    filled,
    some,
)
from minibitnet.commands.streams import print_json
from minibitnet.evaluation.rounds import measure_rounds
from minibitnet.evaluation.speed import BASELINES, Job
from minibitnet.files.published import CONFIG
from minibitnet.kernels import NAMES, find_kernel
from minibitnet.kernels.threads import count_threads

KNOWN = (*NAMES, *BASELINES)
LEGEND = """\
tokens a second; of decoding also in per cent of the limit, which is to read all weights
and the cache once a token at the speed at which this machine reads memory"""
ONE_AND_ALL = ",".join(map(str, sorted({1, count_threads(None)})))
LENGTHS = some(at_least(1))
# flag, type, default, letter, what it is
OPTIONS = (
    ("--ways", str, "auto,lookup,blas,popcount", "NAMES", f"of {', '.join(KNOWN)}"),
    ("--threads", some(THREADS), ONE_AND_ALL, "N,N", "how many compute at once"),
    ("--prefill", LENGTHS, "16,128,512", "T,T", "lengths of prompts that are read"),
    ("--decode", LENGTHS, "16,1024,4096", "S,S", "tokens so far when one is written"),
    ("--rounds", at_least(1), 3, "N", "how often everything is measured"),
    ("--patience", NOT_NEGATIVE, 20.0, "SECONDS", "leave out what would take longer"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet bench`` takes."""
    parser.add_argument(
        "--model",
        type=filled,
        metavar="DIR_OR_ID",
        help="which checkpoint (default: random weights in the size of 2B4T, 1.2 GB)",
    )
    for flag, kind, default, letter, what in OPTIONS:
        parser.add_argument(
            flag,
            type=kind,
            default=default,
            metavar=letter,
            help=f"{what} (%(default)s)",
        )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Measure, and print a table."""
    ways = args.ways.split(",")
    for way in ways:
        if way not in KNOWN:
            raise ValueError(f"--ways must be of {', '.join(KNOWN)}, got {way!r}")
    for kernel in {*ways} & {*NAMES}:
        find_kernel(kernel)  # if it cannot be had, say so before an hour is gone
    with checkpoint(args.model, "transformers" in ways) as directory:
        jobs = [
            Job(directory, way, threads, args.prefill, args.decode, args.patience)
            for way in ways
            for threads in args.threads
        ]
        machine, summaries = measure_rounds(jobs, args.rounds)
    rows = [
        {"way": job.way, "threads": job.threads} | summary
        for job, summary in zip(jobs, summaries, strict=True)
    ]
    if args.json:
        print_json({"machine": machine, "rounds": args.rounds, "ways": rows})
    else:
        print_table(machine, rows, args)
    return 0


@contextmanager
def checkpoint(model: str | None, for_others: bool = False) -> Iterator[Path]:
    """The checkpoint to measure; a directory, if it is for others, too."""
    if model is not None:
        where = find_directory(model)
        with as_directory(where) if for_others else nullcontext(where) as directory:
            yield directory
        return
    with tempfile.TemporaryDirectory() as folder:
        yield write_checkpoint(Path(folder), CONFIG)


def print_table(
    machine: dict[str, float], rows: list[dict[str, Any]], args: argparse.Namespace
) -> None:
    """Print for people."""
    print(", ".join(f"{rate:.0f} {name}" for name, rate in machine.items()))
    lengths = [("prefill", T) for T in args.prefill]
    lengths += [("decode", S) for S in args.decode]
    heads = [f"{kind} {length}" for kind, length in lengths]
    heads = ["way", "threads", "load, s", *heads, "peak, GB"]
    print(f"\n{LEGEND}\n\n| " + " | ".join(heads) + " |")
    print("|---" * len(heads) + "|")
    for row in rows:
        rates = [
            show(row[kind].get(length)) + share(row, kind, length, machine)
            for kind, length in lengths
        ]
        memory = row["memory"] and {k: size / 1e9 for k, size in row["memory"].items()}
        cells = [row["way"], str(row["threads"]), show(row["load"]), *rates]
        print("| " + " | ".join([*cells, show(memory)]) + " |")
    stages = rows[0]["stages"]
    print(
        f"\na decode step of {rows[0]['way']}, {rows[0]['threads']} threads, by stage:"
    )
    for name, seconds in sorted(stages.items(), key=lambda s: -s[1]["median"])[:12]:
        print(f"  {name:16} {seconds['median'] * 1000:7.1f} ms")


def share(
    row: dict[str, Any], kind: str, length: int, machine: dict[str, float]
) -> str:
    """How much of the limit a rate is, if it is one of decoding: " = 60 %"."""
    if kind != "decode" or length not in row["decode"]:
        return ""
    bandwidth = machine[f"GB/s, {row['threads']} threads"] * 1e9
    limit = bandwidth / row["bytes"][length]["median"]
    return f" = {row['decode'][length]['median'] / limit:.0%}"


def show(number: dict[str, float] | None) -> str:
    """A median and the range of the rounds."""
    if number is None:
        return "-"
    digits = 2 if number["median"] < 10 else 0
    low, high = (f"{number[key]:.{digits}f}" for key in ("low", "high"))
    middle = f"{number['median']:.{digits}f}"
    return middle if low == high else f"{middle} ({low}-{high})"
