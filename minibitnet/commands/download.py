"""Fetch a model from the hub and check that it is whole.

A directory gets its files when all are there, those of 2B4T as published. If it was
interrupted, the same command goes on.
"""

import argparse
import sys
from pathlib import Path

from minibitnet.checkpoint import find_directory
from minibitnet.files.hub import download, is_hub_id, new_download, split_id
from minibitnet.files.progress import announce
from minibitnet.files.published import HUB_ID, PINNED_REVISIONS
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
        expected = "owner/name, or owner/name/file.gguf"
        raise ValueError(f"id must be {expected}, got {args.id!r}")
    if args.directory is None:
        announce(f"downloading {args.id}")
        directory = download(args.id)
        wrong = find_wrong(args.id, directory)
    else:
        directory = args.directory
        with new_download(args.id, directory) as part:
            wrong = find_wrong(args.id, part)
            for name in wrong:  # it is downloaded again next time
                (part / name).unlink(missing_ok=True)
    if args.directory is None or not wrong:
        print(directory)
    return 1 if wrong else 0


def find_wrong(hub_id: str, directory: Path) -> list[str]:
    """Print what the files of 2B4T are; which of them are not the published ones."""
    if split_id(hub_id)[0] not in PINNED_REVISIONS:
        return []
    checks = check_hashes(find_directory(directory))
    for check in checks:
        print(check.line(), file=sys.stderr)
    return [check.name for check in checks if not check.passed]
