"""Continue a text, token by token."""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator

from minibitnet.commands import options
from minibitnet.decode import generate


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet generate`` takes."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("prompt", nargs="?", metavar="TEXT", help="what to continue")
    what.add_argument(
        "--ids", metavar="IDS", help="token ids instead, as 1,2,3; writes ids too"
    )
    options.add_model(parser)
    options.add_sampling(parser)
    parser.add_argument(
        "--json", action="store_true", help="one JSON object at the end"
    )


def run(args: argparse.Namespace) -> int:
    """Write the continuation to standard output as it comes."""
    if args.ids is None:
        model, tokenizer = options.load_with_tokenizer(args)
        ids = tokenizer.encode(args.prompt)
    else:
        (model, _), tokenizer = options.load_model(args), None
        ids = parse_ids(args.ids)
    clock = Clock(len(ids))
    generated = generate(model, ids, seed=args.seed, **options.sampling(args))
    tokens = clock.watch(generated)
    as_ids = map("{} ".format, tokens)
    pieces = tokenizer.stream(tokens, after=ids) if tokenizer else as_ids
    if args.json:
        text = "".join(pieces)
        report = {"ids": ids, "new_ids": clock.tokens, "seconds": clock.seconds}
        options.print_json(report | {"text": text if tokenizer else None})
    else:
        write_text(args.prompt or "", pieces)
        print(clock.summary(), file=sys.stderr)
    return 0


def write_text(prompt: str, pieces: Iterable[str]) -> None:
    """Write the prompt, and what follows as it comes."""
    print(prompt, end="", flush=True)
    for piece in pieces:
        options.print_piece(piece)
    print()


def parse_ids(text: str) -> list[int]:
    """Token ids from a text, with commas or spaces between them."""
    words = text.replace(",", " ").split()
    if not all(word.isdecimal() for word in words):
        raise ValueError(
            f"--ids must be whole numbers with commas between, got {text!r}"
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
