"""The options that several commands take."""

import argparse
import json
import sys

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
        type=int,
        metavar="N",
        help="how many compute at once (default: all cores; all give the same)",
    )
    parser.add_argument(
        "--kernel",
        default="auto",
        metavar="NAME",
        help=f"how to multiply: {', '.join(KERNELS)} (default auto; all give the same)",
    )


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """How to choose tokens; by default as the generation_config.json of 2B4T says."""
    add = parser.add_argument
    add(
        "--max-new-tokens",
        type=int,
        default=256,
        metavar="N",
        help="at most (default 256)",
    )
    add(
        "--temperature",
        type=float,
        default=0.6,
        metavar="X",
        help="0 takes the most likely token each time (default 0.6)",
    )
    add(
        "--top-k",
        type=int,
        default=0,
        metavar="K",
        help="draw from K tokens (default all)",
    )
    add(
        "--top-p",
        type=float,
        default=0.9,
        metavar="P",
        help="draw from this share of the odds (default 0.9)",
    )
    add(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="same seed, same text (default 0)",
    )


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
