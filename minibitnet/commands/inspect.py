"""What a checkpoint holds, and where its bytes go."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from minibitnet.checkpoint import find_directory
from minibitnet.checkpoint.open import open_checkpoint
from minibitnet.commands.options import print_json
from minibitnet.files.tensorfile import Tensor
from minibitnet.stories import BUILT_IN
from minibitnet.packing import SHIFTS

PARTS = ("ternary matrices", "embedding and head", "norms", "scales", "headers")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet inspect`` takes."""
    parser.add_argument(
        "model",
        nargs="?",
        default=BUILT_IN,
        metavar="DIR_OR_ID",
        help="which checkpoint (default: the built-in model)",
    )
    parser.add_argument("--tensors", action="store_true", help="list every tensor too")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the report."""
    directory = find_directory(args.model)
    config, stored, tensors = open_checkpoint(directory)
    codes = count_codes(tensors)
    report: dict[str, Any] = {
        "directory": str(directory),
        "config": vars(config) | vars(stored),
        "bytes": count_bytes(tensors.values()),
        "codes": codes,
        "warnings": find_faults(codes),
    }
    if args.tensors:
        report["tensors"] = [
            {
                "name": t.name,
                "dtype": t.dtype,
                "shape": list(t.array.shape),
                "bytes": t.array.nbytes,
            }
            for t in tensors.values()
        ]
    print_json(report) if args.json else print_report(report)
    return 1 if report["warnings"] else 0


def part_of(tensor: Tensor) -> str:
    """Which part of a model an array belongs to."""
    if tensor.name.endswith("_scale"):
        return "scales"
    if "norm" in tensor.name or tensor.name.endswith("_ln.weight"):
        return "norms"
    return "ternary matrices" if "_proj" in tensor.name else "embedding and head"


def count_bytes(tensors: Iterable[Tensor]) -> dict[str, int]:
    """How many bytes each part takes."""
    sizes = dict.fromkeys(PARTS, 0)
    files: set[Path] = set()
    for tensor in tensors:
        sizes[part_of(tensor)] += tensor.array.nbytes
        files.add(tensor.file)
    sizes["headers"] = sum(file.stat().st_size for file in files) - sum(sizes.values())
    return sizes


def count_codes(tensors: dict[str, Tensor]) -> dict[str, list[int]]:
    """How often each code stands in each packed matrix."""
    packed = [t for t in tensors.values() if t.dtype == "U8" and "_proj" in t.name]
    counts = {}
    for tensor in tqdm(packed, "counting", leave=False, delay=2, disable=None):
        by_byte = np.bincount(tensor.array.reshape(-1), minlength=256)
        by_code = np.zeros(4, int)
        for shift in SHIFTS:
            stored = (np.arange(256) >> shift) & 3
            by_code += np.bincount(stored, by_byte, minlength=4).astype(int)
        counts[tensor.name] = by_code.tolist()
    return counts


def find_faults(codes: dict[str, list[int]]) -> list[str]:
    """What no trained model has: a download that broke off looks like this."""
    faults = []
    for name, (minus, _, plus, unused) in codes.items():
        if unused:
            faults.append(f"{name}: {unused} codes are 3, which is unused")
        if not minus or not plus:
            faults.append(f"{name}: has no {'-1' if not minus else '+1'}")
    return faults


def print_report(report: dict[str, Any]) -> None:
    """Print for a person to read."""
    print(report["directory"])
    config = report["config"]
    print("\nconfig")
    for key, value in config.items():
        print(f"  {key:24} {value}")
    total = sum(report["bytes"].values())
    print(f"\nbytes {total:>28,}")
    for part, size in report["bytes"].items():
        print(f"  {part:18} {size:>14,}  {size / total:6.1%}")
    print_histogram(report["codes"])
    for tensor in report.get("tensors", ()):
        name, dtype, shape, size = tensor.values()
        print(f"  {name:52} {dtype:4} {' x '.join(map(str, shape)):>14} {size:>12,}")
    for warning in report["warnings"]:
        print(f"minibitnet: {warning}", file=sys.stderr)


def print_histogram(codes: dict[str, list[int]]) -> None:
    """Print the shares of -1, 0 and +1, for each kind of matrix and in all."""
    if not codes:
        print("\nno packed matrices: full-precision masters are quantized on loading")
        return
    kinds: dict[str, Any] = {}
    for name, counts in codes.items():
        kind = name.split(".")[-2]
        kinds[kind] = kinds.get(kind, 0) + np.array(counts)
    kinds["all"] = sum(kinds.values())
    print(f"\n{'codes':10} {'weights':>15} {'-1':>8} {'0':>8} {'+1':>8}")
    for kind, counts in kinds.items():
        shares = " ".join(f"{share:8.2%}" for share in counts[:3] / counts.sum())
        print(f"  {kind:9} {counts.sum():>14,} {shares}")
