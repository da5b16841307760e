"""Fetch a model from the hub and check that it is whole."""

import argparse
import sys
from pathlib import Path

from minibitnet.files.hub import download, is_hub_id
from minibitnet.files.published import HUB_ID
from minibitnet.golden.selftest import check_hashes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet download`` takes."""
    parser.add_argument(
        "id", nargs="?", default=HUB_ID, help=f"which model (default {HUB_ID})"
    )
    parser.add_argument(
        "directory",
        nargs="?",
        type=Path,
        metavar="DIR",
        help="where to put it (default: the cache of the hub's library)",
    )


def run(args: argparse.Namespace) -> int:
    """Download, print where the files are; 1 if 2B4T's are not the published ones."""
    if not is_hub_id(args.id):
        raise ValueError(f"id must be owner/name, got {args.id!r}")
    directory = download(args.id, args.directory)
    print(directory)
    if args.id != HUB_ID:
        return 0
    checks = check_hashes(directory)
    for check in checks:
        print(check.line(), file=sys.stderr)
    return 0 if all(check.passed for check in checks) else 1
