"""Talk with a model, turn by turn."""

import argparse
import sys
from collections.abc import Sequence

from minibitnet.commands import options
from minibitnet.controltokens import Message
from minibitnet.conversation import PromptTooLongError, Reader, fit
from minibitnet.decode import generate
from minibitnet.tokenizer import Tokenizer

try:
    import readline  # noqa: F401  (arrow keys and history for `input`)
except ImportError:  # not on every system
    pass

PROBE = {"role": "user", "content": "?"}
FULL = "(the context is full: the oldest turns are dropped)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet chat`` takes."""
    options.add_model(parser)
    parser.add_argument(
        "--system", metavar="TEXT", help="a first message, from the system"
    )
    options.add_sampling(parser)


def run(args: argparse.Namespace) -> int:
    """Read questions, write answers, until the end of input."""
    model, tokenizer = options.load_with_tokenizer(args)
    reader = Reader(model)
    messages: list[Message] = []
    if args.system:
        messages.append({"role": "system", "content": args.system})
    tokenizer.chat([*messages, PROBE])  # refuses where there is no chat template
    print("Ctrl-C stops an answer, Ctrl-D leaves.", file=sys.stderr)
    for turn, question in enumerate(iter(ask, None)):
        asked = [*messages, {"role": "user", "content": question}]
        try:
            kept = fit(tokenizer, asked, reader.cache.capacity - 1)
        except PromptTooLongError as error:
            print(error, file=sys.stderr)
            continue
        if len(kept) < len(asked):
            print(FULL, file=sys.stderr)
        answer = write_answer(reader, tokenizer, kept, args, args.seed + turn)
        messages = [*kept, {"role": "assistant", "content": answer}]
    return 0


def ask() -> str | None:
    """The next question."""
    prompt = "> " if sys.stdin.isatty() else ""
    while True:
        try:
            if question := input(prompt).strip():
                return question
        except EOFError:
            print(end="\n" if prompt else "")
            return None
        except KeyboardInterrupt:
            print()


def write_answer(
    reader: Reader,
    tokenizer: Tokenizer,
    messages: Sequence[Message],
    args: argparse.Namespace,
    seed: int,
) -> str:
    """Write the next answer to standard output as it comes."""
    ids = tokenizer.chat(messages)
    unread = reader.turn_to(ids)
    tokens = generate(
        reader.model, unread, seed=seed, cache=reader.cache, **options.sampling(args)
    )
    pieces = []
    try:
        for piece in tokenizer.stream(reader.note(tokens), after=ids):
            options.print_piece(piece)
            pieces.append(piece)
    except KeyboardInterrupt:
        print(" ...", end="")
    print()
    return "".join(pieces)
