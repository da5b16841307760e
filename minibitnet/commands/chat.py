"""Talk with a model, turn by turn.

The whole conversation is written out anew for each turn and compared with what the
cache holds; the model reads on from the first difference. So nothing is read twice that
need not be, and what it reads is what the chat template says, to the token.
"""

import argparse
import sys
from collections.abc import Iterable, Iterator

from minibitnet.cache import KVCache
from minibitnet.commands import options
from minibitnet.decode import generate
from minibitnet.model import Model
from minibitnet.tokenizer import Tokenizer

try:
    import readline  # noqa: F401  (arrow keys and history for `input`)
except ImportError:  # not on every system
    pass

Messages = list[dict[str, str]]


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
    messages: Messages = []
    if args.system:
        messages.append({"role": "system", "content": args.system})
    tokenizer.chat(messages)  # refuses a template that is not known
    print("Ctrl-C stops an answer, Ctrl-D leaves.", file=sys.stderr)
    for turn, question in enumerate(iter(ask, None)):
        messages.append({"role": "user", "content": question})
        try:
            answer = write_answer(reader, tokenizer, messages, args, args.seed + turn)
            messages.append({"role": "assistant", "content": answer})
        except PromptTooLongError as error:
            messages.pop()
            print(error, file=sys.stderr)
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


class PromptTooLongError(ValueError):
    """A question that does not fit in the context."""


class Reader:
    """A model and the ids it has read."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.cache = KVCache(model.config, model.config.max_position_embeddings)
        self.ids: list[int] = []  # those in the cache, then some that are not yet

    def unread(self, ids: list[int]) -> list[int]:
        """What is left to read of a conversation; the cache keeps what is the same."""
        known = self.ids[: min(self.cache.length, len(ids) - 1)]
        same = 0
        while same < len(known) and known[same] == ids[same]:
            same += 1
        self.cache.truncate(same)
        self.ids = list(ids)
        return ids[same:]

    def note(self, tokens: Iterable[int]) -> Iterator[int]:
        """Pass new tokens on and remember them."""
        for token in tokens:
            self.ids.append(token)
            yield token


def fit(tokenizer: Tokenizer, messages: Messages, room: int) -> list[int]:
    """The ids of a conversation, shortened from the front until they fit.

    Raises
    ------
    PromptTooLongError
        If the last question alone does not fit.
    """
    kept = list(messages)
    oldest = 1 if kept[0]["role"] == "system" else 0
    while len(ids := tokenizer.chat(kept)) > room:
        if len(kept) - oldest < 3:
            raise PromptTooLongError(
                f"the question takes {len(ids)} tokens, there is room for {room}"
            )
        del kept[oldest : oldest + 2]
    if len(kept) < len(messages):
        print("(the context is full: the oldest turns are forgotten)", file=sys.stderr)
        messages[:] = kept
    return ids


def write_answer(
    reader: Reader,
    tokenizer: Tokenizer,
    messages: Messages,
    args: argparse.Namespace,
    seed: int,
) -> str:
    """Write the next answer to standard output as it comes.

    Raises
    ------
    PromptTooLongError
        If the last question alone does not fit.
    """
    ids = fit(tokenizer, messages, reader.cache.capacity - 1)
    tokens = generate(
        reader.model,
        reader.unread(ids),
        max_new_tokens=args.max_new_tokens,
        temperature=args.temperature,
        top_k=args.top_k,
        top_p=args.top_p,
        seed=seed,
        cache=reader.cache,
    )
    pieces = []
    try:
        for piece in tokenizer.stream(reader.note(tokens)):
            options.print_piece(piece)
            pieces.append(piece)
    except KeyboardInterrupt:
        print(" ...", end="")
    print()
    return "".join(pieces)
