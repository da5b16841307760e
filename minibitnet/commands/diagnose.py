"""Which known mistake a port makes, by the numbers it computed.

It prints the line of the page that computes the same, or else where the port parts from
the page first, and how.
"""

import argparse
import textwrap
from collections.abc import Sequence
from pathlib import Path

from minibitnet.checkpoint import find_directory
from minibitnet.checkpoint.convert import as_directory
from minibitnet.commands.generate import parse_ids
from minibitnet.golden.diagnose import Diagnosis, diagnose
from minibitnet.golden.dumps import Dump, read_dump
from minibitnet.golden.evidence import Suspect
from minibitnet.golden.port import find_line
from minibitnet.golden.zoo import Bug
from minibitnet.golden.zoo.bug import Change, diff
from minibitnet.stories import BUILT_IN

INDENT = " " * 13
SHOWN = 3  # suspects that cannot be told apart, at most


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet diagnose`` takes."""
    parser.add_argument(
        "port",
        metavar="PORT",
        type=Path,
        help="what the port dumped: a trace or a part of one (directory, .npz, .trace, "
        ".npy), .npy files of transformers' hooks, the output of llama-eval-callback, "
        "or a text of numbers named after its stage (logits.txt, layers.0.q.txt)",
    )
    parser.add_argument(
        "--model",
        default=BUILT_IN,
        metavar="DIR_OR_ID",
        help="the checkpoint that the port read (default: the built-in model)",
    )
    parser.add_argument(
        "--ids", metavar="IDS", help="the tokens that it read, if PORT does not say"
    )


def run(args: argparse.Namespace) -> int:
    """Compare and try, and print what is found; 1 if something is wrong."""
    dump = read_dump(args.port)
    ids = choose_ids(dump, args)
    with as_directory(find_directory(args.model)) as directory:
        found = diagnose(dump.stages, directory, ids)
    print(f"tokens: {len(ids)}, stages: {len(dump.stages)}, {describe(found.page)}")
    if found.page.first is None:
        print_silent(found.silent)
        return 0
    return print_diagnosis(found)


def choose_ids(dump: Dump, args: argparse.Namespace) -> list[int]:
    """The tokens that the port read.

    Raises ValueError if neither says, or both and not the same.
    """
    given = None if args.ids is None else parse_ids(args.ids)
    dumped = None if dump.ids is None else [int(token) for token in dump.ids.ravel()]
    if given is None and dumped is None:
        raise ValueError(f"{args.port} has no ids: say --ids, as 1,2,3")
    if None not in (given, dumped) and given != dumped:
        raise ValueError(f"--ids must be those of {args.port}, {dumped}, got {given}")
    return (dumped if given is None else given) or []


def describe(page: Suspect) -> str:
    """How far the port goes with the page."""
    if page.first is None:
        return "all equal the page's"
    equal = [*page.distances].index(page.first)
    return f"{equal} equal the page's, then {page.first} differs"


def print_silent(silent: Sequence[Bug]) -> None:
    """Which mistakes the numbers cannot show."""
    names = ", ".join(bug.name for bug in silent) or "none"
    text = f"Known bugs that would not show in these numbers: {names}."
    print(textwrap.fill(text, 88, break_on_hyphens=False))


def print_diagnosis(found: Diagnosis) -> int:
    """What is wrong; 0 if it is only the arithmetic."""
    page, nearest = found.page, found.nearest
    if found.equal:
        names = " or ".join(suspect.name for suspect in found.equal)
        print(f"It is {names}: the same numbers in every stage.")
        for suspect in found.equal[:SHOWN]:
            print_suspect(suspect)
        return 1
    if found.begun is not None:
        print(f"It is {found.begun.name}: the same numbers up to {found.begun.first},")
        print("where something else begins.")
        print_line(found.begun.first or "")
        print_suspect(found.begun)
        return 1
    if nearest is not None:
        print(
            f"Nearest is {nearest.name}: {per_cent(nearest.mean)} away on average, "
            f"the page {per_cent(page.mean)}."
        )
        print(f"The first difference: {found.difference}")
        print_line(page.first or "")
        print_suspect(nearest)
        return 1
    return print_unknown(found)


def print_unknown(found: Diagnosis) -> int:
    """What is known of a port that has no known bug; 0 if it is only the arithmetic."""
    page = found.page
    far, name = max((far, name) for name, far in page.distances.items())
    away = f"{per_cent(page.mean)} away on average, at most {per_cent(far)} ({name})"
    if found.looks_like_rounding:
        print(f"No known bug. The page is {away}: the differences look like another")
        print("arithmetic (float16 or bfloat16, or sums of floats in another order).")
        print(f"The first difference: {found.difference}")
        return 0
    print(f"No known bug, and no right port: the page is {away}.")
    print(f"The first difference: {found.difference}")
    print_line(page.first or "")
    return 1


def print_line(stage: str) -> None:
    """The line of the page that makes a stage."""
    number, text = find_line(stage)
    print(f"\n  minibitnet/one_page.py:{number}\n  {text}")


def per_cent(distance: float) -> str:
    """A distance, for people."""
    return f"{100 * distance:.2g} %"


def print_suspect(suspect: Suspect) -> None:
    """The bugs of a suspect: where the page is changed, and what to look for.

    Examples
    --------
    >>> from minibitnet.golden.zoo import ZOO
    >>> print_suspect(Suspect((ZOO[0],), {}, None))
    <BLANKLINE>
      minibitnet/one_page.py:50
    -     bands = [packed >> shift & 3 for shift in (0, 2, 4, 6)]  # stored as code + 1
    +     bands = [packed >> shift & 3 for shift in (6, 4, 2, 0)]  # stored as code + 1
    <BLANKLINE>
      seen       Nonsense. All counts of -1, 0 and +1 are right.
      look for   the shifts of the four codes in a byte. This file has the first band in
                 the lowest bits; GGUF's I2_S has its first group in the highest.
      met in     m96-chan/0xBitNet
    """
    for bug in suspect.bugs:
        places: list[Bug | Change] = [bug, *bug.layouts]
        for each in places:
            line, right, wrong = diff(each)
            print(f"\n  {each.module.replace('.', '/')}.py:{line}")
            print(*(f"- {text}" for text in right), sep="\n")
            print(*(f"+ {text}" for text in wrong), sep="\n")
        print()
        for title, text in (
            ("seen", bug.symptom), ("look for", bug.look_for), ("met in", bug.where),
        ):  # fmt: skip
            print(
                textwrap.fill(
                    text, 84, initial_indent=f"  {title:11}", subsequent_indent=INDENT
                )
            )
