"""How far apart right programs are: one model in three arithmetics, by stage."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import asdict

from minibitnet.checkpoint import find_directory, load
from minibitnet.commands.fingerprint import add_what_to_read, choose
from minibitnet.commands.options import at_least
from minibitnet.commands.streams import print_json
from minibitnet.golden.names import IN_A_BLOCK
from minibitnet.golden.precision import Rung, climb


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet precision`` takes."""
    add_what_to_read(parser)
    parser.add_argument(
        "--new",
        type=at_least(0),
        default=100,
        metavar="N",
        help="how many tokens to write after those, and to read too (100)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Measure, and print the tables."""
    where = find_directory(args.model)
    model, tokenizer = load(where)
    ids, _ = choose(args, model, tokenizer)
    rungs = climb(where, model, ids, args.new)
    if args.json:
        print_json({"ids": ids, "rungs": [asdict(rung) for rung in rungs]})
    else:
        print(*tables(rungs, model.config.num_hidden_layers), sep="\n")
    return 0


def tables(rungs: Sequence[Rung], layers: int) -> Iterator[str]:
    """When each rung parts from the contract, and how far each stage is from it."""
    yield row("tokens", [rung.name for rung in rungs])
    yield row("---", ["---" for _ in rungs])
    yield row("read before another code", [first_code(rung) for rung in rungs])
    yield row("written before another one", [first_token(rung) for rung in rungs])
    yield ""
    yield row("stage", [f"{rung.name}, layer 0 - {layers - 1}" for rung in rungs])
    yield row("---", ["---" for _ in rungs])
    last = f"layers.{layers - 1}."
    stages = [(f"layers.0.{stage.name}", last + stage.name) for stage in IN_A_BLOCK]
    for names in (*stages, ("final_norm",), ("logits",)):
        if names[0] in rungs[0].distances:
            cells = (" - ".join(share(rung, name) for name in names) for rung in rungs)
            yield row(names[0].removeprefix("layers.0."), cells)


def row(head: str, cells: Iterator[str] | Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join([head, *cells])} |"


def share(rung: Rung, name: str) -> str:
    """The distance of a stage, for people."""
    far = rung.distances[name]
    return f"{100 * far:.3g} %" if name.endswith(".codes") else f"{far:.1e}"


def first_code(rung: Rung) -> str:
    """How many tokens are read before another code, and where it is."""
    return "all" if rung.first_code is None else "{} ({})".format(*rung.first_code)


def first_token(rung: Rung) -> str:
    """How many tokens are written before another one."""
    return "all" if rung.first_token is None else str(rung.first_token)
