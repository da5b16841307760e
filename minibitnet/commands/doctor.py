"""Whether all is well here: versions, arithmetic, and a model's weights."""

import argparse
import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np

from minibitnet.checkpoint import find_directory, load
from minibitnet.commands.options import filled
from minibitnet.commands.streams import print_json, visible
from minibitnet.golden.fingerprintfile import find_fingerprint
from minibitnet.golden.selftest import (
    Check,
    check_answers,
    check_built_in,
    check_compiled,
    check_fingerprint,
    check_hashes,
    check_model,
    check_products,
)

PACKAGES = (
    "minibitnet",
    "numpy",
    "tokenizers",
    "safetensors",
    "huggingface_hub",
    "tqdm",
    "threadpoolctl",
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet doctor`` takes."""
    parser.add_argument(
        "--model",
        type=filled,
        metavar="DIR_OR_ID",
        help="check this model too: by its fingerprint (fingerprint.json), and "
        "without one as a copy of 2B4T's real weights",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Look, and print what was seen; 1 if something is wrong."""
    machine = describe_machine()
    if args.json:
        checks = list(all_checks(args.model))
        print_json({"machine": machine, "checks": [c._asdict() for c in checks]})
        return 0 if all(check.passed for check in checks) else 1
    for name, found in machine.items():
        print(visible(f"      {name}: {found}"))
    status = 0
    for check in all_checks(args.model):
        print(visible(check.line()), flush=True)
        status |= not check.passed
    return int(status)


def all_checks(model: str | None) -> Iterator[Check]:
    """Look at one thing after another."""
    yield check_products()
    yield check_model()
    yield check_built_in()
    yield check_compiled()
    if model is not None:
        yield from check_weights(find_directory(model))


def check_weights(where: Path) -> Iterator[Check]:
    """Whether a model is the one of its fingerprint, or else 2B4T."""
    fingerprint = find_fingerprint(where)
    if fingerprint is not None:
        yield from check_fingerprint(fingerprint, *load(where))
    else:
        yield from check_hashes(where)
        yield from check_answers(*load(where))


def describe_machine() -> dict[str, str]:
    """What speed and memory depend on."""
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    threads = {
        name: os.environ[name]
        for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS")
        if name in os.environ
    }
    facts = {
        "python": f"{platform.python_version()} on {platform.platform()}",
        "packages": ", ".join(f"{name} {find_version(name)}" for name in PACKAGES),
        "BLAS": f"{blas.get('name')} {blas.get('version')}",
        "processors": str(os.cpu_count()),
        "threads set by environment": str(threads or "none"),
    }
    if hasattr(os, "sysconf"):  # pragma: no branch  (not on Windows)
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        facts["memory"] = f"{size / 2**30:.1f} GiB"
    return facts


def find_version(package: str) -> str:
    """The version of an installed package; all but NumPy may be missing."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "(missing)"
