"""Find out how the weights in a file are packed.

FILE is a checkpoint (a directory, NAME.safetensors, NAME.gguf), a NumPy array of bytes,
or any file of bytes, with --rows and --columns.
"""

import argparse
from pathlib import Path
from typing import Any

from minibitnet.checkpoint.detect import Found, find_layout
from minibitnet.commands.options import at_least
from minibitnet.commands.streams import print_json, visible
from minibitnet.formats import LAYOUTS
from minibitnet.formats.detect import Verdict

WITHOUT = {  # orders that are those of a format but for what stands behind them
    "blocks_128_high": "i2_s, without its tail",
    "blocks_64_high": "i2_s_arm, without its tail",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet detect`` takes."""
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help="what holds the weights")
    add("--tensor", metavar="NAME", help="one of its tensors (default: all, together)")
    size = at_least(1)
    add("--rows", type=size, metavar="M", help="outputs of the matrix")
    add("--columns", type=size, metavar="N", help="its inputs")
    add("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print what is found; 1 if it is no layout known here."""
    found = find_layout(args.file, args.tensor, args.rows, args.columns)
    if args.json:
        print_json(content(found))
    else:
        print_found(found)
    return 0 if found.verdict.layouts else 1


def content(found: Found) -> dict[str, Any]:
    """For a program to read."""
    return {
        "layouts": found.verdict.layouts,
        "sure": found.verdict.sure,
        "why": found.verdict.why,
        "tensors": found.tensors,
        "shape": found.shape,
        "guesses": [guess._asdict() for guess in found.guesses],
        "rows_of_q_and_k": found.order,
        "evidence": dict(found.evidence),
    }


def print_found(found: Found) -> None:
    """The verdict, then what speaks for and against each layout."""
    print(say(found.verdict))
    shape = f", {' x '.join(map(str, found.shape))}" if found.shape else ""
    [first, *others] = found.tensors
    print(f"{f'{len(others) + 1} tensors' if others else visible(first)}{shape}\n")
    for guess in found.guesses:
        if guess.possible:
            print(f"{guess.layout:24}{guess.score:8.1f}  {where(guess.layout)}")
        elif guess.layout in LAYOUTS:
            print(f"{guess.layout:24}{'-':>8}  {guess.why}")
    if found.order is not None:
        said = ", ".join(f"{order} {z:.1f}" for order, z in found.evidence.items())
        print(f"\nrows of q and k that RoPE takes as pairs: {found.order} ({said})")


def say(verdict: Verdict) -> str:
    """The verdict in a line."""
    formats = [layout for layout in verdict.layouts if layout in LAYOUTS]
    others = [layout for layout in verdict.layouts if layout not in LAYOUTS]
    if others:
        formats.append(f"an order that no format has ({', '.join(others)})")
    if not formats:
        return verdict.why
    said = f"{' or '.join(formats)}: {verdict.why}"
    return said if verdict.sure else f"not sure: {said}"


def where(layout: str) -> str:
    """Where a layout is met."""
    return (
        LAYOUTS[layout].where if layout in LAYOUTS else WITHOUT.get(layout, "no format")
    )
