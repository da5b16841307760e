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
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import minibitnet
from minibitnet.commands import (
    bench,
    chat,
    costs,
    course,
    diagnose,
    doctor,
    download,
    generate,
    inspect,
    synth,
    train,
)

COMMANDS = {
    "generate": generate,
    "chat": chat,
    "inspect": inspect,
    "download": download,
    "synth": synth,
    "train": train,
    "bench": bench,
    "costs": costs,
    "diagnose": diagnose,
    "course": course,
    "doctor": doctor,
}


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are a line, like all others."""

    def error(self, message: str) -> NoReturn:
        """Refuse a command line."""
        raise ValueError(f"{message} (see {self.prog} --help)")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line."""
    try:
        args = make_parser().parse_args(argv)
        status = int(COMMANDS[args.command].run(args))
        sys.stdout.flush()  # a reader that has left is noticed here, not at exit
        return status
    except (ValueError, OSError, MemoryError) as error:
        if isinstance(error, BrokenPipeError):  # the reader has left: `| head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        print(f"minibitnet: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(file=sys.stderr)
        return 130


def make_parser() -> argparse.ArgumentParser:
    """The grammar of the command line."""
    parser = Parser(prog="minibitnet", description="BitNet b1.58 2B4T in pure NumPy.")
    parser.add_argument(
        "--version", action="version", version=f"minibitnet {minibitnet.__version__}"
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        summary = (command.__doc__ or "").split("\n", 1)[0]
        subparser = subparsers.add_parser(name, help=summary, description=summary)
        command.add_arguments(subparser)
    return parser
