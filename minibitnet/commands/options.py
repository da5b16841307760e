"""The options that several commands take."""

import argparse
import math
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Timer
from typing import Any

from minibitnet.checkpoint import load
from minibitnet.commands.streams import note, visible
from minibitnet.evaluation.costs import count_weights
from minibitnet.kernels import NAMES
from minibitnet.kernels.compiler import has_compiler
from minibitnet.model import Model
from minibitnet.stories import BUILT_IN
from minibitnet.tokenizer import Tokenizer

SMALL_MODEL = """\
(The small built-in model, which knows children's stories and nothing else. BitNet b1.58
2B4T, a download of 1.2 GB: --model microsoft/bitnet-b1.58-2B-4T)"""
FASTER = "(--kernel c: the same numbers, several times as fast, by the C compiler here)"
LARGE = 2**28  # ternary weights of a model with which one waits
LARGEST = 2**31 - 1
SOON = 1.0  # seconds; who waits longer is told for what


def at_least(least: int, most: int = LARGEST) -> Callable[[str], int]:
    """A type for argparse: a whole number from `least` to `most`."""

    def whole(text: str) -> int:
        if text.isdecimal() and len(text) <= 20 and least <= int(text) <= most:
            return int(text)
        raise argparse.ArgumentTypeError(
            f"expected a whole number from {least} to {most}, got {text[:40]!r}"
        )

    return whole


def number(expected: str, fits: Callable[[float], bool]) -> Callable[[str], float]:
    """A type for argparse: a number that fits; neither NaN nor infinite."""

    def real(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if math.isfinite(value) and fits(value):
            return value
        raise argparse.ArgumentTypeError(
            f"expected a number {expected}, got {text[:40]!r}"
        )

    return real


def some(kind: Callable[[str], int]) -> Callable[[str], tuple[int, ...]]:
    """A type for argparse: several of a kind, with commas between."""
    return lambda text: tuple(map(kind, text.split(",")))


def filled(text: str) -> str:
    """A type for argparse: a text that is not empty."""
    if not text:
        raise argparse.ArgumentTypeError("expected a text, got an empty one")
    return text


NOT_NEGATIVE = number("of 0 or above", lambda x: x >= 0)
THREADS = at_least(1, 1024)
LAYERS = at_least(1, 10_000)  # the names of more do not fit in a header


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Which checkpoint, without an option's name before it."""
    parser.add_argument(
        "model",
        nargs="?",
        type=filled,
        default=BUILT_IN,
        metavar="DIR_OR_ID",
        help="which checkpoint (default: the built-in model)",
    )


def add_model(parser: argparse.ArgumentParser) -> None:
    """Which model, and how to compute."""
    add = parser.add_argument_group("model").add_argument
    add(
        "--model",
        type=filled,
        default=BUILT_IN,
        metavar="DIR_OR_ID",
        help="a directory with a checkpoint, a GGUF file, or a model on the hub "
        "(default: the small model that comes with minibitnet)",
    )
    add(
        "--threads",
        type=THREADS,
        metavar="N",
        help="how many compute at once (default: all cores; all give the same)",
    )
    add(
        "--kernel",
        choices=NAMES,
        default="auto",
        metavar="NAME",
        help=f"how to multiply: {', '.join(NAMES)} (default auto; all give the same; "
        "c is the quickest and needs a C compiler)",
    )


# flag, type, default, letter, what it is; by default as 2B4T's generation_config.json
SAMPLING = (
    ("--max-new-tokens", at_least(0), 256, "N", "how many to write at most (256)"),
    ("--temperature", NOT_NEGATIVE, 0.6, "X", "0 takes the most likely token (0.6)"),
    ("--top-k", at_least(0), 0, "K", "draw from the K most likely tokens (all)"),
    (
        "--top-p",
        number("above 0 and at most 1", lambda p: 0 < p <= 1),
        0.9,
        "P",
        "draw from this probability mass (0.9)",
    ),
    (
        "--min-p",
        number("from 0 to 1", lambda p: 0 <= p <= 1),
        0.0,
        "P",
        "draw from tokens with this share of the largest probability (all)",
    ),
    (
        "--repetition-penalty",
        number("from 1 to 10", lambda x: 1 <= x <= 10),
        1.0,
        "X",
        "make tokens of the text less likely (1: none)",
    ),
    (
        "--seed",
        at_least(0),
        None,
        "N",
        "the same seed, the same text (default: another one each time, "
        "which is printed on standard error)",
    ),
)


def add_sampling(parser: argparse.ArgumentParser) -> None:
    """How to choose tokens."""
    add = parser.add_argument_group("sampling").add_argument
    for flag, kind, default, letter, what in SAMPLING:
        add(flag, type=kind, default=default, metavar=letter, help=what)


def sampling(args: argparse.Namespace) -> dict[str, Any]:
    """The options of `add_sampling` but the seed, as `minibitnet.generate` has them."""
    flags = [flag for flag, *_ in SAMPLING if flag != "--seed"]
    names = [flag.removeprefix("--").replace("-", "_") for flag in flags]
    return {name: getattr(args, name) for name in names}


def choose_seed(args: argparse.Namespace) -> int:
    """The seed that was given, or else one drawn at random."""
    return secrets.randbelow(LARGEST) if args.seed is None else int(args.seed)


def tell_seed(args: argparse.Namespace, seed: int) -> None:
    """Say by which seed a text can be had again, if nobody knows it."""
    if args.seed is None and args.temperature > 0:
        note(f"seed {seed}")


def first_messages(system: str | None) -> list[dict[str, str]]:
    """How a conversation begins: with the system's message, if there is one."""
    return [{"role": "system", "content": system}] if system else []


def tell_if_cut_off(ended: str | None, limit: int) -> None:
    """Say why a text ended where the model had not ended it."""
    if ended == "max_new_tokens" and limit:
        note(f"(cut off after {limit} tokens: --max-new-tokens)")
    elif ended == "context":
        note("(cut off: the context is full)")


@contextmanager
def told_if_slow(what: str) -> Iterator[None]:
    """Say what is being done if it takes more than a moment."""
    timer = Timer(SOON, note, [what])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def load_model(args: argparse.Namespace) -> tuple[Model, Tokenizer | None]:
    """The model of the options; if it is the built-in one, a line says so."""
    if args.model is BUILT_IN:
        note(SMALL_MODEL)
    with told_if_slow(f"loading {visible(str(args.model))} ..."):
        loaded = load(args.model, kernel=args.kernel, threads=args.threads)
    large = count_weights(loaded[0].config).ternary > LARGE
    if large and args.kernel == "auto" and has_compiler():
        note(FASTER)
    return loaded


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
            f"{args.model}: text needs a tokenizer, and there is none; a directory has "
            "it in tokenizer.json (or give token ids to `minibitnet generate --ids`)"
        )
    return model, tokenizer
