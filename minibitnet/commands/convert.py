"""Write a checkpoint in another form: packed, masters, GGUF.

Codes stay as they are, bit for bit; where a scale is rounded, a line says so.
"""

import argparse
from pathlib import Path

from minibitnet.checkpoint import find_directory
from minibitnet.checkpoint.convert import FORMS, convert
from minibitnet.commands.options import filled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet convert`` takes."""
    add = parser.add_argument
    add(
        "model",
        type=filled,
        metavar="IN",
        help="a directory, a GGUF file, or a model on the hub",
    )
    add("out", type=Path, metavar="OUT", help="a directory, or a name.gguf")
    add(
        "--to",
        choices=FORMS,
        required=True,
        help="packed: safetensors, as 2B4T; bf16: masters; the others: GGUF",
    )
    add("--force", action="store_true", help="replace what is there")
    add(
        "--as-published",
        action="store_true",
        help="with --to i2_s: the metadata of the published GGUF file, with its faults",
    )


def run(args: argparse.Namespace) -> int:
    """Convert; print where the result is."""
    source = find_directory(args.model)
    convert(source, args.out, args.to, force=args.force, published=args.as_published)
    print(args.out)
    return 0
