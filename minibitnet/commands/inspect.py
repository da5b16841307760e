"""What a checkpoint holds, and where its bytes go."""

import argparse
from typing import Any

from minibitnet.checkpoint import find_directory
from minibitnet.checkpoint.inspect import (
    Counts,
    count_bytes,
    count_matrices,
    find_faults,
    sum_by_kind,
)
from minibitnet.checkpoint.open import open_checkpoint
from minibitnet.commands.options import add_checkpoint
from minibitnet.commands.streams import note, print_json, visible


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet inspect`` takes."""
    add_checkpoint(parser)
    parser.add_argument("--tensors", action="store_true", help="list every tensor too")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the report; 1 if something in it is wrong."""
    directory = find_directory(args.model)
    checkpoint = open_checkpoint(directory)
    codes = count_matrices(checkpoint)
    report: dict[str, Any] = {
        "directory": str(directory),
        "config": vars(checkpoint.config) | vars(checkpoint.stored),
        "bytes": count_bytes(checkpoint.tensors.values()),
        "codes": codes,
        "warnings": find_faults(codes),
    }
    if args.tensors:
        report["tensors"] = [
            {
                "name": t.name,
                "dtype": t.type,
                "shape": list(t.shape),
                "bytes": t.nbytes,
            }
            for t in checkpoint.tensors.values()
        ]
    print_json(report) if args.json else print_report(report)
    return 1 if report["warnings"] else 0


def print_report(report: dict[str, Any]) -> None:
    """Print for people."""
    print(f"{visible(report['directory'])}\n\nconfig")
    for key, value in report["config"].items():
        print(visible(f"  {key:24} {value}"))
    total = sum(report["bytes"].values())
    print(f"\nbytes {total:>28,}")
    for part, size in report["bytes"].items():
        print(f"  {part:18} {size:>14,}  {size / total:6.1%}")
    print_shares(report["codes"])
    for tensor in report.get("tensors", ()):
        name, dtype, shape, size = tensor.values()
        form = " x ".join(map(str, shape))
        print(visible(f"  {name:52} {dtype:4} {form:>14} {size:>12,}"))
    for warning in report["warnings"]:
        note(visible(f"minibitnet: {warning}"))


def print_shares(codes: dict[str, Counts]) -> None:
    """Print the shares of -1, 0 and +1, for each kind of matrix and in all."""
    if not codes:
        print("\nno packed matrices: full-precision masters are quantized on loading")
        return
    print(f"\n{'codes':10} {'weights':>15} {'-1':>8} {'0':>8} {'+1':>8}")
    for kind, counts in sum_by_kind(codes).items():
        total = sum(counts)
        shares = " ".join(f"{count / total:8.2%}" for count in counts[:3])
        print(f"  {kind:9} {total:>14,} {shares}")
