"""Continue a text, token by token.

Each run draws another text. Its seed is printed on standard error, and draws the same
text again. (In Python, `minibitnet.generate` takes the most likely tokens by default.)
"""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO

from minibitnet.commands import options
from minibitnet.commands.streams import LONGEST, note, print_json, print_piece
from minibitnet.decode import generate
from minibitnet.model import Model
from minibitnet.tokenizer import Tokenizer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet generate`` takes."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "prompt",
        nargs="?",
        metavar="TEXT",
        help="what to continue; - reads standard input",
    )
    what.add_argument(
        "--file",
        type=Path,
        metavar="FILE",
        help="continue the text of a file, without the line break at its end",
    )
    what.add_argument(
        "--ids",
        type=parse_ids,
        metavar="IDS",
        help="continue token ids, as 1,2,3, and write ids",
    )
    parser.add_argument(
        "--system",
        metavar="TEXT",
        help="ask, as in a chat: the prompt is the user's message, after this one from "
        "the system ('' for none), and only the answer is written",
    )
    parser.add_argument(
        "--stop",
        type=options.filled,
        action="append",
        metavar="TEXT",
        help="end before this text; may be given several times",
    )
    parser.add_argument(
        "--json", action="store_true", help="one JSON object at the end"
    )
    options.add_model(parser)
    options.add_sampling(parser)


def run(args: argparse.Namespace) -> int:
    """Write the continuation to standard output as it comes."""
    model, tokenizer, prompt, ids = prepare(args)
    seed = options.choose_seed(args)
    clock = Clock(len(ids))
    written = generate(model, ids, seed=seed, **options.sampling(args))
    tokens = clock.watch(written)
    options.tell_seed(args, seed)  # once all else is known to be right
    as_ids = map("{} ".format, tokens)
    pieces = tokenizer.stream(tokens, after=ids) if tokenizer else as_ids
    pieces = cut_at(pieces, args.stop or [])
    if args.json:
        text = "".join(pieces)
        report = {"ids": ids, "new_ids": clock.tokens, "seconds": clock.seconds}
        report |= {"text": text if tokenizer else None, "seed": seed}
        print_json(report | {"ended": written.ended or "stop"})
    else:
        write_text(prompt, pieces)
        note(clock.summary())
    options.tell_if_cut_off(written.ended, args.max_new_tokens)
    return 0


def prepare(
    args: argparse.Namespace,
) -> tuple[Model, Tokenizer | None, str, list[int]]:
    """A model, its tokenizer, what to write of the prompt, and its ids."""
    if args.ids is not None:
        for flag in ("system", "stop"):
            if getattr(args, flag) is not None:
                raise ValueError(f"--{flag}: expected a prompt of text, got --ids")
        return options.load_model(args)[0], None, "", args.ids
    prompt = read_prompt(args)
    model, tokenizer = options.load_with_tokenizer(args)
    if args.system is None:
        return model, tokenizer, prompt, tokenizer.encode(prompt)
    question = {"role": "user", "content": prompt}
    messages = [*options.first_messages(args.system), question]
    return model, tokenizer, "", tokenizer.chat(messages)


def read_prompt(args: argparse.Namespace) -> str:
    """The text that was given, that a file holds, or that comes in."""
    if args.file:
        with open(args.file, encoding="utf-8") as stream:
            return read_text(stream, str(args.file))
    if args.prompt == "-":
        return read_text(sys.stdin, "standard input")
    return str(args.prompt)


def read_text(stream: TextIO, name: str) -> str:
    """A whole text, without a mark at the start and the line break at the end."""
    try:
        text = stream.read(LONGEST + 1)
    except UnicodeDecodeError as error:
        byte = error.object[error.start]
        raise ValueError(
            f"{name}: expected text in {error.encoding}, found byte {byte:#x}"
        ) from None
    if len(text) > LONGEST:
        raise ValueError(f"{name}: expected at most {LONGEST} characters, found more")
    return text.removeprefix("\ufeff").removesuffix("\n")


def write_text(prompt: str, pieces: Iterable[str]) -> None:
    """Write the prompt, and what follows as it comes."""
    print_piece(prompt)
    for piece in pieces:
        print_piece(piece)
    print()


def cut_at(pieces: Iterable[str], stops: Sequence[str]) -> Iterator[str]:
    """Text up to where one of `stops` begins; what might be its beginning waits.

    Examples
    --------
    >>> list(cut_at(["one", " t", "wo", " thr", "ee"], [" three"]))
    ['one', '', ' two', '', '']
    """
    held = ""
    for piece in pieces:
        held += piece
        found = [held.find(stop) for stop in stops if stop in held]
        if found:
            yield held[: min(found)]
            return
        sure = len(held) - longest_start(held, stops)
        yield held[:sure]
        held = held[sure:]
    yield held


def longest_start(text: str, stops: Sequence[str]) -> int:
    """How many characters at the end of a text may be the beginning of one of `stops`.

    Examples
    --------
    >>> longest_start("the end", ["ending", "d"])
    3
    """
    lengths = range(min(len(text), max(map(len, stops), default=0)), 0, -1)
    ends = (n for n in lengths if any(stop.startswith(text[-n:]) for stop in stops))
    return next(ends, 0)


def parse_ids(text: str) -> list[int]:
    """A type for argparse: token ids with commas or spaces between them."""
    words = text.replace(",", " ").split()
    if not words or not all(w.isdecimal() and len(w) <= 20 for w in words):
        raise argparse.ArgumentTypeError(
            f"expected whole numbers with commas between, got {text[:40]!r}"
        )
    return [int(word) for word in words]


class Clock:
    """When each token came."""

    def __init__(self, prompt_tokens: int) -> None:
        self.prompt_tokens = prompt_tokens
        self.tokens: list[int] = []
        self.seconds: list[float] = []  # from the start, at each token

    def watch(self, tokens: Iterable[int]) -> Iterator[int]:
        """Pass tokens on and note when they come."""
        start = time.perf_counter()
        for token in tokens:
            self.tokens.append(token)
            self.seconds.append(time.perf_counter() - start)
            yield token

    def summary(self) -> str:
        """How long it took, in a line."""
        if not self.tokens:
            return "no tokens written"
        first, rest = self.seconds[0], len(self.tokens) - 1
        text = f"{self.prompt_tokens} tokens read and one written in {first:.2f} s"
        if rest:
            took = self.seconds[-1] - first
            text += f", then {rest} in {took:.2f} s ({rest / took:.2f} a second)"
        return text
