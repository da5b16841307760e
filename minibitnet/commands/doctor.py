"""Whether all is well here: versions, arithmetic, and the real weights.

Without a model this looks at the machine and at the arithmetic. With one it looks at
the files as well and, if they are the published ones of 2B4T, at what the model says:
against the logits and the text that transformers published, which computes in bfloat16.
How far apart the two are is printed. The limits below are judged from the rounding of
bfloat16, not measured: the real weights were not at hand when they were set.
"""

import argparse
import hashlib
import os
import platform
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from minibitnet.checkpoint import find_directory, load
from minibitnet.commands.options import print_json
from minibitnet.commands.synth import SIZES
from minibitnet.decode import generate
from minibitnet.files import published
from minibitnet.files.tensorfile import WEIGHTS
from minibitnet.kernels import KERNELS
from minibitnet.model import Model, forward
from minibitnet.packing import pack
from minibitnet.checkpoint.synth import write_checkpoint
from minibitnet.tokenizer import Tokenizer

PACKAGES = (
    "minibitnet",
    "numpy",
    "tokenizers",
    "safetensors",
    "huggingface_hub",
    "tqdm",
)
MEAN_LIMIT = 0.5  # on the mean of a place's logits
LOGIT_LIMIT = 1.0  # on a single logit


class Check(NamedTuple):
    """Something looked at, and what was seen."""

    name: str
    passed: bool
    detail: str

    def line(self) -> str:
        """For a person to read."""
        return f"{'ok  ' if self.passed else 'FAIL'}  {self.name}: {self.detail}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet doctor`` takes."""
    parser.add_argument(
        "--model",
        metavar="DIR_OR_ID",
        help="check this copy of 2B4T's real weights too",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Look, and print what was seen."""
    machine = describe_machine()
    if args.json:
        checks = list(all_checks(args.model))
        print_json({"machine": machine, "checks": [c._asdict() for c in checks]})
        return 0 if all(check.passed for check in checks) else 1
    for name, found in machine.items():
        print(f"      {name}: {found}")
    status = 0
    for check in all_checks(args.model):
        print(check.line(), flush=True)
        status |= not check.passed
    return int(status)


def all_checks(model: str | None) -> Iterator[Check]:
    """Look at one thing after another."""
    yield check_products()
    yield check_model()
    if model is not None:
        directory = find_directory(model)
        yield from check_hashes(directory)
        yield from check_answers(*load(directory))


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
        "packages": ", ".join(f"{name} {version(name)}" for name in PACKAGES),
        "BLAS": f"{blas.get('name')} {blas.get('version')}",
        "processors": str(os.cpu_count()),
        "threads set by environment": str(threads or "none"),
    }
    if hasattr(os, "sysconf"):  # pragma: no branch  (not on Windows)
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        facts["memory"] = f"{size / 2**30:.1f} GiB"
    return facts


def check_products() -> Check:
    """Whether every kernel returns the very same integers."""
    rng = np.random.default_rng(0)
    M, N = 8, published.CONFIG["intermediate_size"]
    x_codes = rng.integers(-128, 128, (8, N)).astype(np.int8)
    x_codes[0] = -128
    w_codes = rng.integers(-1, 2, (M, N)).astype(np.int8)
    w_codes[0] = 1
    exact = x_codes.astype(np.int64) @ w_codes.T.astype(np.int64)
    wrong = [
        kernel
        for kernel in KERNELS
        if not np.array_equal(
            KERNELS[kernel]([pack(w_codes)], [M])(x_codes)[0], exact
        )
    ]
    found = f"differ from int64: {', '.join(wrong)}" if wrong else ", ".join(KERNELS)
    return Check("integer products exact", not wrong, found)


def check_model() -> Check:
    """Whether a small model has the very same logits with every kernel."""
    sizes = {key: small for _, key, _, small in SIZES}
    content = published.CONFIG | sizes | {"eos_token_id": 0}
    with tempfile.TemporaryDirectory() as directory:
        write_checkpoint(Path(directory), content)
        logits = {
            kernel: forward(load(directory, kernel=kernel)[0], [1, 2, 3])
            for kernel in KERNELS
        }
    other = [k for k in KERNELS if not np.array_equal(logits[k], logits["masks"])]
    found = f"differ from masks: {', '.join(other)}" if other else ", ".join(KERNELS)
    return Check("a small model says the same", not other, found)


def check_hashes(directory: Path) -> list[Check]:
    """Whether the files are the published ones of 2B4T."""
    expected = published.FILES_SHA256 | {WEIGHTS: published.WEIGHTS_SHA256}
    checks = []
    for name, sha256 in expected.items():
        file = directory / name
        found = hash_file(file) if file.exists() else "no such file"
        same = found == sha256
        detail = "SHA-256 as published" if same else f"expected {sha256}, found {found}"
        checks.append(Check(name, same, detail))
    return checks


def hash_file(file: Path) -> str:
    """The SHA-256 of a file."""
    digest = hashlib.sha256()
    size = file.stat().st_size
    with (
        file.open("rb") as stream,
        tqdm(
            total=size, desc=file.name, unit="B", unit_scale=True, leave=False, delay=2
        ) as bar,
    ):
        while piece := stream.read(2**22):
            digest.update(piece)
            bar.update(len(piece))
    return digest.hexdigest()


def check_answers(model: Model, tokenizer: Tokenizer | None) -> list[Check]:
    """Whether the model says what transformers published."""
    if model.config.vocab_size <= max(published.LOGITS_IDS):
        return [Check("published logits", False, "the vocabulary is not that of 2B4T")]
    logits = forward(model, published.LOGITS_IDS)
    first = logits[0, : len(published.FIRST_LOGITS)]
    checks = [
        compare("mean logits", logits.mean(axis=1), published.MEAN_LOGITS, MEAN_LIMIT),
        compare("first logits", first, published.FIRST_LOGITS, LOGIT_LIMIT),
    ]
    if tokenizer is not None:
        ids = tokenizer.chat([{"role": "user", "content": published.GREEDY_QUESTION}])
        text = tokenizer.decode(list(generate(model, ids, max_new_tokens=20)))
        same = text.strip() == published.GREEDY_ANSWER
        checks.append(Check("greedy answer", same, repr(text)))
    return checks


def compare(
    name: str, found: NDArray[np.float32], expected: tuple[float, ...], limit: float
) -> Check:
    """How far numbers are from published ones.

    found (n,) -> 
    """
    distance = float(np.abs(found - np.array(expected)).max())
    detail = f"at most {distance:.4f} from the published ones (limit {limit})"
    return Check(name, distance <= limit, detail)
