r"""Standard input, output and error, and what may be wrong with them.

A stream may be closed, or lead to a disk that is full; its encoding may lack a letter,
and what comes in may be no text at all. And a text may hold control characters, by
which it could move the cursor of a terminal, clear it, or rename it.

Notes
-----
What a model writes goes to a file or a pipe as it is, and to a terminal with U+FFFD in
place of control characters. Names out of files and errors are written as ``\x1b``
everywhere, and so are letters that the encoding lacks, as ``\u65e5``.

Examples
--------
>>> print(visible("a name\x1b[2J\r\n"))
a name\x1b[2J\r\n
"""

import io
import json
import os
import sys
from typing import TextIO

CONTROLS = [*range(32), *range(127, 160)]
ESCAPES = {code: repr(chr(code))[1:-1] for code in CONTROLS}
MARKS = {code: "\ufffd" for code in CONTROLS if chr(code) not in "\n\t"}
LONGEST = 2**24  # characters of a line or a prompt: more than any context has


def prepare() -> None:
    """Have closed streams lead nowhere, and no letter be an error."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        stream = getattr(sys, name)
        if stream is None:  # the next file that is opened would take its number
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))
        elif mode == "w" and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def accept_any_input() -> None:
    """Read bytes that are no text as U+FFFD."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")


def read_line() -> str:
    """The next line of standard input.

    Raises
    ------
    EOFError
        If there is none.
    ValueError
        If it does not end.
    """
    line = sys.stdin.readline(LONGEST + 1)
    if not line:
        raise EOFError
    if len(line) > LONGEST:
        raise ValueError(
            f"standard input: expected lines of at most {LONGEST} characters, "
            "found a longer one"
        )
    return line


def visible(text: str) -> str:
    """A text in which control characters are written out."""
    return text.translate(ESCAPES)


def print_piece(piece: str) -> None:
    """Print a piece of what a model writes, at once."""
    if sys.stdout.isatty():
        piece = piece.translate(MARKS)
    print(piece, end="", flush=True)


def print_json(content: object) -> None:
    """Print for a program to read; in ASCII, which every encoding has."""
    print(json.dumps(content, indent=2))


def note(text: str) -> None:
    """Print a line on standard error; that it cannot be written stops nothing."""
    try:
        print(text, file=sys.stderr, flush=True)
    except OSError:
        abandon(sys.stderr)


def output_fails() -> bool:
    """Whether standard output cannot be written to. It then leads nowhere."""
    try:
        sys.stdout.flush()
    except OSError:
        abandon(sys.stdout)
        return True
    return False


def abandon(stream: TextIO) -> None:
    """Have a stream lead nowhere; what is left in it would fail again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
