"""Make a model's fingerprint, or check one: what it computes, in kilobytes."""

import argparse
from pathlib import Path

from minibitnet.checkpoint import load
from minibitnet.commands.generate import parse_ids
from minibitnet.commands.options import add_checkpoint
from minibitnet.commands.streams import print_json, visible
from minibitnet.files.writing import new_file
from minibitnet.golden.fingerprintfile import read_fingerprint, to_json
from minibitnet.golden.fingerprints import choose_ids, fingerprint
from minibitnet.golden.matching import match
from minibitnet.model import Model
from minibitnet.tokenizer import Tokenizer


def add_what_to_read(
    parser: argparse.ArgumentParser,
) -> argparse._MutuallyExclusiveGroup:
    """Which model, and what it reads."""
    add_checkpoint(parser)
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        "--text", metavar="TEXT", help="what to read (default: a few words)"
    )
    what.add_argument(
        "--ids", type=parse_ids, metavar="IDS", help="token ids to read, as 1,2,3"
    )
    return what


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet fingerprint`` takes."""
    what = add_what_to_read(parser)
    what.add_argument(
        "--check",
        type=Path,
        metavar="FILE",
        help="compare the model with this fingerprint, part by part",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="where to (default: standard output)"
    )
    parser.add_argument("--json", action="store_true", help="with --check, print JSON")


def run(args: argparse.Namespace) -> int:
    """Write a fingerprint, or compare with one; 1 if the model is another."""
    if args.check and args.out:
        raise ValueError("--out: expected a fingerprint to write, got --check")
    if args.check:
        return check(args)
    model, tokenizer = load(args.model)
    text = to_json(fingerprint(model, *choose(args, model, tokenizer)))
    if args.out:
        with new_file(args.out) as part:
            part.write_text(text, encoding="ascii", newline="\n")
        text = f"{visible(str(args.out))}\n"
    print(text, end="")
    return 0


def choose(
    args: argparse.Namespace, model: Model, tokenizer: Tokenizer | None
) -> tuple[list[int], str | None]:
    """The ids to read, and the text that they stand for."""
    if args.ids:
        return args.ids, None
    if args.text is None:
        return choose_ids(model, tokenizer)
    if tokenizer is None:
        raise ValueError(f"--text: expected a model with a tokenizer, got {args.model}")
    return tokenizer.encode(args.text), args.text


def check(args: argparse.Namespace) -> int:
    """Print which parts are equal; 1 if one is not."""
    expected = read_fingerprint(args.check)
    parts = match(expected, *load(args.model))
    equal = not any(part.differ for part in parts)
    if args.json:
        print_json({"equal": equal, "parts": [part._asdict() for part in parts]})
    else:
        print(*(visible(part.line()) for part in parts), sep="\n")
    return 0 if equal else 1
