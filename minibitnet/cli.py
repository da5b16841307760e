"""The command: ``minibitnet generate``, ``chat``, ``inspect`` and the others.

Each subcommand is a module of `minibitnet.commands` with two functions:
``add_arguments`` says what it takes, ``run`` does it. What was asked for goes to
standard output; progress, timing and errors go to standard error. A user's mistake is
one line and exit status 2.

Examples
--------
>>> main(["generate", "Once upon a time", "--model", "no/such/place/here"])
2
>>> main(["bench", "--rounds", "0"])
2
"""

import argparse
import signal
import sys
import threading
import warnings
from collections.abc import Sequence
from typing import NoReturn

import minibitnet
from minibitnet.commands import (
    bench,
    chat,
    compare,
    conform,
    convert,
    costs,
    course,
    detect,
    diagnose,
    doctor,
    download,
    fingerprint,
    generate,
    inspect,
    perplexity,
    play,
    precision,
    streams,
    synth,
    trace,
    train,
    vectors,
)
from minibitnet.startup import leave

COMMANDS = {
    "generate": generate,
    "chat": chat,
    "play": play,
    "inspect": inspect,
    "detect": detect,
    "download": download,
    "synth": synth,
    "convert": convert,
    "trace": trace,
    "compare": compare,
    "fingerprint": fingerprint,
    "precision": precision,
    "vectors": vectors,
    "conform": conform,
    "perplexity": perplexity,
    "train": train,
    "bench": bench,
    "costs": costs,
    "diagnose": diagnose,
    "course": course,
    "doctor": doctor,
}
LONGEST_LINE = 1000  # of an error; a name from a file may have any length


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are a line, like all others."""

    def error(self, message: str) -> NoReturn:
        """Refuse a command line."""
        said = message.removeprefix("argument ")
        raise ValueError(f"{said} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line."""
    streams.prepare()
    take_signals()
    try:
        try:
            return run(sys.argv[1:] if argv is None else argv)
        finally:
            sys.stdout.flush()  # a full disk is noticed here, not at exit
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, leave)  # a second one ends the ending
        streams.note("")
        return 130
    except BrokenPipeError:  # the reader has left: `| head`
        streams.output_fails()
        return 0
    except (ValueError, OSError, MemoryError, ArithmeticError) as error:
        streams.note(f"minibitnet: {describe(error)}")
        return 2


def run(argv: Sequence[str]) -> int:
    """Run the command that is asked for; without one, tell which there are."""
    for word in argv:  # argparse would take the value away, in Python below 3.13
        if word.startswith("--") and word.endswith("=--"):
            raise ValueError(f"{word[:-3]}: expected a value, got '--'")
    parser = make_parser()
    args, unknown = parser.parse_known_args(argv)
    if unknown:
        refuse = parser.error if args.command is None else args.refuse
        refuse(f"unrecognized arguments: {' '.join(unknown)}")
    if args.command is None:
        parser.print_help(sys.stderr)
        return 2
    with warnings.catch_warnings():
        warnings.showwarning = show_note
        warnings.simplefilter("always", minibitnet.CheckpointWarning)
        return int(COMMANDS[args.command].run(args))


def show_note(message: Warning | str, *_: object, **__: object) -> None:
    """Print a warning as a line for the user, without the line of code it came from."""
    streams.note(streams.visible(f"minibitnet: note: {message}"))


def take_signals() -> None:
    """Have Ctrl-C raise KeyboardInterrupt, and SIGTERM end as orderly."""
    if threading.current_thread() is threading.main_thread():
        if signal.getsignal(signal.SIGINT) is leave:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))


def describe(error: Exception) -> str:
    """What is wrong, in a line that no terminal obeys."""
    said = str(error)
    if isinstance(error, MemoryError):
        said = f"out of memory: {said}" if said else "out of memory"
    elif isinstance(error, OSError) and error.strerror:
        where = "standard output" if streams.output_fails() else error.filename
        said = f"{where}: {error.strerror}" if where else error.strerror
    said = streams.visible(said)
    return said if len(said) <= LONGEST_LINE else f"{said[:LONGEST_LINE]} ..."


def make_parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    parser = Parser(prog="minibitnet", description="BitNet b1.58 2B4T in pure NumPy.")
    parser.add_argument(
        "--version", action="version", version=f"minibitnet {minibitnet.__version__}"
    )
    subparsers = parser.add_subparsers(
        dest="command", metavar="COMMAND", title="commands, each with a --help"
    )
    for name, command in COMMANDS.items():
        summary = (command.__doc__ or "").split("\n", 1)[0]
        subparser = subparsers.add_parser(
            name,
            help=summary,
            description=command.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        subparser.set_defaults(refuse=subparser.error)
        command.add_arguments(subparser)
    return parser
