"""Write the test vectors for ports."""

import argparse
from pathlib import Path

from minibitnet.golden.exports import write_c_headers, write_hex
from minibitnet.golden.vectors import write_vectors


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet vectors`` takes."""
    parser.add_argument("out", type=Path, metavar="OUT", help="a new directory")
    parser.add_argument(
        "--c-header", action="store_true", help="write the arrays as C headers too"
    )
    parser.add_argument(
        "--hex", action="store_true", help="write them for $readmemh of Verilog too"
    )


def run(args: argparse.Namespace) -> int:
    """Write the set; print where it is."""
    write_vectors(args.out)
    if args.c_header:
        write_c_headers(args.out)
    if args.hex:
        write_hex(args.out)
    print(args.out)
    return 0
