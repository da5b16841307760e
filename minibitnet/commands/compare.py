"""Compare two traces: the first stage that differs, and how."""

import argparse
from pathlib import Path

from minibitnet.golden.compare import compare_traces
from minibitnet.golden.traces import read_trace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet compare`` takes."""
    where = "a directory of .npy, an .npz or a .trace"
    parser.add_argument("right", type=Path, metavar="A", help=f"the right one: {where}")
    parser.add_argument("port", type=Path, metavar="B", help="the other one")


def run(args: argparse.Namespace) -> int:
    """Print what differs; 1 if anything does."""
    comparison = compare_traces(read_trace(args.right), read_trace(args.port))
    print(comparison)
    return 1 if comparison.differing else 0
