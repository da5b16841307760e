"""Count bytes, operations and joules from a config."""

import argparse
from typing import Any

from minibitnet.checkpoint import find_directory
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.checkpoint.inspect import is_tied
from minibitnet.checkpoint.open import open_checkpoint
from minibitnet.checkpoint.take import Arrays
from minibitnet.commands.options import at_least, filled
from minibitnet.commands.streams import print_json
from minibitnet.evaluation.costs import count_all, count_weights
from minibitnet.files.published import CONFIG

LEFT_OUT = """\
The memory of the report leaves out embedding, norms and cache. Its energy is of a pass
over 512 tokens, not of a token; it leaves out the head, norms, scales, softmax, and all
reading of memory; it counts a weight of 0 as an addition, and scores of later tokens,
which a causal model does not need. MiniCPM's 4.88 GB are printed there as 4.8."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet costs`` takes."""
    add = parser.add_argument
    add(
        "--model",
        type=filled,
        metavar="DIR_OR_ID",
        help="which checkpoint (default: that of 2B4T)",
    )
    add(
        "--context",
        type=at_least(1),
        default=4096,
        metavar="S",
        help="tokens in the cache (default %(default)s)",
    )
    add("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Count, and print."""
    if args.model is None:
        config = parse_config(CONFIG)
        weights = count_weights(config)
    else:
        checkpoint = open_checkpoint(find_directory(args.model))
        config = checkpoint.config
        sub_norms = Arrays(checkpoint).has_sub_norms
        weights = count_weights(config, sub_norms=sub_norms, tied=is_tied(checkpoint))
    report = count_all(config, weights, args.context)
    print_json(report) if args.json else print_report(report)
    return 0


def print_report(report: dict[str, Any]) -> None:
    """Print for people."""
    for name, number in report["weights"].items():
        print(f"{name + ' weights':18} {number:>15,}")
    print("\nbits of a ternary weight     GB   with the embedding")
    for bits, sizes in report["bytes by bits of a ternary weight"].items():
        alone, together = (f"{n / 1e9:.3f}" for n in sizes.values())
        print(f"{bits:>24} {alone:>6} {together:>20}")
    for name, number in report.items():
        if name.startswith("cache"):
            print(f"\n{name}, float32: {number / 1e9:.3f} GB")
        if name.startswith("read"):
            print(f"{name}, at least: {number / 1e9:.3f} GB")
    print_table("operations of a token", report["operations of a token"], ",")
    print_table("table 1 of the report", report["report"], ".4g")
    print(f"\n{LEFT_OUT}")


def print_table(title: str, rows: dict[str, dict[str, Any]], form: str) -> None:
    """Print a table."""
    columns = next(iter(rows.values()))
    print(f"\n{title:30}" + "".join(f"{column:>15}" for column in columns))
    for name, row in rows.items():
        print(f"{name:30}" + "".join(f"{n:>15{form}}" for n in row.values()))
