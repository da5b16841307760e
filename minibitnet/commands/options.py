"""The options that several commands take."""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from minibitnet.checkpoint import load
from minibitnet.kernels import KERNELS
from minibitnet.model import Model
from minibitnet.stories import BUILT_IN
from minibitnet.tokenizer import Tokenizer

SMALL_MODEL = """\
(The small built-in model, which knows children's stories and nothing else. BitNet b1.58
2B4T, a download of 1.2 GB: --model microsoft/bitnet-b1.58-2B-4T)"""
KEPT = {ord("\n"), ord("\t")}
CONTROLS = {code: "\ufffd" for code in {*range(32), *range(127, 160)} - KEPT}


def at_least(least: int) -> Callable[[str], int]:
    """A type for argparse: a whole number from `least` up."""

    def whole(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"must be a whole number from {least} up, got {text!r}"
            )
        return int(text)

    return whole


def some(text: str) -> tuple[int, ...]:
    """A type for argparse: whole numbers from 1 up, with commas between."""
    return tuple(map(at_least(1), text.split(",")))


def add_model(parser: argparse.ArgumentParser) -> None:
    """Which model, and how to compute."""
    parser.add_argument(
        "--model",
        default=BUILT_IN,
        metavar="DIR_OR_ID",
        help="a directory with a checkpoint, or a model on the hub "
        "(default: the small model that comes with minibitnet)",
    )
    parser.add_argument(
        "--threads",
        type=at_least(1),
        metavar="N",
        help="how many compute at once (default: all cores; all give the same)",
    )
    parser.add_argument(
        "--kernel",
        default="auto",
        metavar="NAME",
        help=f"how to multiply: {', '.join(KERNELS)} (default auto; all give the same)",
    )


# flag, type, default, letter, what it is; by default as 2B4T's generation_config.json
SAMPLING = (
    ("--max-new-tokens", at_least(0), 256, "N", "how many to write at most (256)"),
    ("--temperature", float, 0.6, "X", "0 takes the most likely token (0.6)"),
    ("--top-k", at_least(0), 0, "K", "draw from the K most likely tokens (all)"),
    ("--top-p", float, 0.9, "P", "draw from this probability mass (0.9)"),
    ("--seed", at_least(0), 0, "N", "same seed, same text (0)"),
)


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """How to choose tokens."""
    for flag, kind, default, letter, what in SAMPLING:
        parser.add_argument(flag, type=kind, default=default, metavar=letter, help=what)


def sampling(args: argparse.Namespace) -> dict[str, Any]:
    """The options of `add_sampling` but the seed, as `minibitnet.generate` has them."""
    names = ("max_new_tokens", "temperature", "top_k", "top_p")
    return {name: getattr(args, name) for name in names}


def load_model(args: argparse.Namespace) -> tuple[Model, Tokenizer | None]:
    """The model of the options; if it is the built-in one, a line says so."""
    if args.model is BUILT_IN:
        print(SMALL_MODEL, file=sys.stderr)
    return load(args.model, kernel=args.kernel, threads=args.threads)


def load_with_tokenizer(args: argparse.Namespace) -> tuple[Model, Tokenizer]:
    """The model of the options, if it has a tokenizer.

    Raises
    ------
    ValueError
        If there is no tokenizer.
    """
    model, tokenizer = load_model(args)
    if tokenizer is None:
        raise ValueError(
            f"{args.model}: text needs a tokenizer, and there is no tokenizer.json; "
            "put one there (or give token ids to `minibitnet generate --ids`)"
        )
    return model, tokenizer


def print_piece(piece: str) -> None:
    """Print a piece of what a model writes, at once."""
    print(piece.translate(CONTROLS), end="", flush=True)


def print_json(content: object) -> None:
    """Print for a program to read."""
    print(json.dumps(content, indent=2, ensure_ascii=False))
