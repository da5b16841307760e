"""Write every array of a forward pass."""

import argparse
from pathlib import Path

from minibitnet.checkpoint import load
from minibitnet.commands.generate import parse_ids
from minibitnet.commands.options import at_least, some
from minibitnet.golden.traces import record, write_trace


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet trace`` takes."""
    parser.add_argument(
        "model", metavar="DIR_OR_ID", help="a directory, a GGUF file, or a hub id"
    )
    parser.add_argument(
        "--ids",
        required=True,
        type=parse_ids,
        metavar="IDS",
        help="token ids, as 1,2,3",
    )
    parser.add_argument(
        "--out",
        required=True,
        type=Path,
        metavar="PATH",
        help="NAME.trace: a stream; NAME.npz; else a new directory of .npy",
    )
    parser.add_argument(
        "--pieces",
        type=some(at_least(1)),
        metavar="N,N",
        help="how many tokens to read at a time (default: all; all give the same)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the trace; print where it is."""
    model, _ = load(args.model)
    write_trace(
        args.out, record(model, args.ids, args.pieces), args.ids, str(args.model)
    )
    print(args.out)
    return 0
