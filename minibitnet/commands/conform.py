"""Compare the answers of a port with the test vectors."""

import argparse
from pathlib import Path

from minibitnet.commands.streams import print_json
from minibitnet.golden.conform import conform_files
from minibitnet.golden.operations import OPERATIONS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet conform`` takes."""
    parser.add_argument("port", type=Path, metavar="DIR", help="what the port wrote")
    parser.add_argument(
        "--vectors",
        type=Path,
        metavar="SET",
        help="what `minibitnet vectors` wrote (default: version 1)",
    )
    parser.add_argument(
        "--only",
        metavar="OPERATION,...",
        type=lambda words: words.split(","),
        default=[*OPERATIONS],
        help="hold it to the vectors of these operations alone",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the report; 1 unless every vector asked for is answered and right."""
    report = conform_files(args.port, args.vectors, args.only)
    print_json(report.content()) if args.json else print(report)
    return 0 if report.passed else 1
