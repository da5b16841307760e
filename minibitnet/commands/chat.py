"""Talk with a model, turn by turn.

At a terminal, lines that arrive together were pasted together and are one message.
From a file or a pipe each line is a message of its own.
"""

import argparse
import select
import sys
from collections.abc import Sequence

from minibitnet.commands import options
from minibitnet.commands.streams import (
    accept_any_input,
    note,
    print_piece,
    read_line,
    visible,
)
from minibitnet.conversation import Reader, fit
from minibitnet.decode import generate
from minibitnet.text.controltokens import Message
from minibitnet.tokenizer import Tokenizer

try:
    import readline  # noqa: F401  (arrow keys and history for `input`)
except ImportError:  # not on every system
    pass

PROBE = {"role": "user", "content": "?"}
TOGETHER = 0.05  # seconds; nobody types the next line so soon
FULL = "(the context is full: the oldest turns are dropped)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet chat`` takes."""
    parser.add_argument(
        "--system", metavar="TEXT", help="a first message, from the system"
    )
    options.add_model(parser)
    options.add_sampling(parser)


def run(args: argparse.Namespace) -> int:
    """Read questions, write answers, until the end of input."""
    model, tokenizer = options.load_with_tokenizer(args)
    reader = Reader(model)
    messages: list[Message] = [*options.first_messages(args.system)]
    tokenizer.chat([*messages, PROBE])  # refuses where there is no chat template
    seed = options.choose_seed(args)
    options.tell_seed(args, seed)
    accept_any_input()
    note("Ctrl-C stops an answer, Ctrl-D leaves.")
    for turn, question in enumerate(iter(ask, None)):
        asked = [*messages, {"role": "user", "content": question}]
        try:
            kept = fit(tokenizer, asked, reader.cache.capacity - 1)
        except ValueError as error:  # too long, or no text
            note(visible(str(error)))
            continue
        if len(kept) < len(asked):
            note(FULL)
        answer = write_answer(reader, tokenizer, kept, args, seed + turn)
        messages = [*kept, {"role": "assistant", "content": answer}]
    return 0


def ask() -> str | None:
    """The next message; None where the input ends."""
    person = sys.stdin.isatty()
    while True:
        try:
            message = read_message() if person else read_line()
            if message.strip():
                return message.strip()
        except EOFError:
            print(end="\n" if person else "")
            return None
        except KeyboardInterrupt:
            if not person:
                raise
            print()


def read_message() -> str:
    """What a person types, or pastes: then all lines of it."""
    lines = [input("> ")]
    while more_is_there():
        try:
            lines.append(input())
        except EOFError:  # pasted, and Ctrl-D typed behind it
            break
    return "\n".join(lines)


def more_is_there() -> bool:
    """Whether another line has come together with the last."""
    try:
        return bool(select.select([sys.stdin], [], [], TOGETHER)[0])
    except (OSError, ValueError):  # not on Windows, where each line is a message
        return False


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
            print_piece(piece)
            pieces.append(piece)
    except KeyboardInterrupt:
        print(" ...")
        if not sys.stdin.isatty():
            raise
    else:
        print()
        options.tell_if_cut_off(tokens.ended, args.max_new_tokens)
    return "".join(pieces)
