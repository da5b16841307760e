"""Self-test: whether the arithmetic is exact here, and a copy of 2B4T the real one.

Two things may go wrong on somebody else's machine. NumPy or its BLAS may compute
otherwise than this package takes for granted: so every kernel multiplies the largest
numbers there can be, a small model is run by each, and the built-in one must compute
what it computed elsewhere; where there is a C compiler, what it makes of the kernel in
C is compared as well. And the weights may not be those that were published: so the
files are compared by their hashes, and the model's answers with those on record. Of
another model a fingerprint says what it should compute.

Notes
-----
The published logits and text are transformers', which computes in bfloat16. How far
apart the two are is told. The limits below are judged from the rounding of bfloat16,
not measured: the real weights were not at hand when they were set.

Examples
--------
>>> check_products().line()
'ok    integer products exact: auto, masks, blas, lookup, popcount'
>>> compare("mean", np.float32([1, 2]), (1, 2.25), limit=0.1).line()
'FAIL  mean: at most 0.2500 from the published ones (limit 0.1)'
"""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minibitnet.arrays import F32
from minibitnet.checkpoint import load
from minibitnet.checkpoint.synth import SMALL, write_checkpoint
from minibitnet.decode import generate
from minibitnet.files import published
from minibitnet.files.gguf import SUFFIX
from minibitnet.files.jsonfile import CheckpointError, regular_file
from minibitnet.files.progress import progress_bar
from minibitnet.files.tensorfile import WEIGHTS
from minibitnet.golden.fingerprintfile import FILE, read_fingerprint
from minibitnet.golden.matching import match
from minibitnet.kernels import KERNELS, c
from minibitnet.model import Model, forward
from minibitnet.packing import pack
from minibitnet.stories import BUILT_IN
from minibitnet.tokenizer import Tokenizer

MEAN_LIMIT = 0.5  # on the mean of a position's logits
LOGIT_LIMIT = 1.0  # on a single logit
PIECE = 2**22  # bytes hashed at a time


class Check(NamedTuple):
    """Something looked at, and what was seen."""

    name: str
    passed: bool
    detail: str

    def line(self) -> str:
        """For people to read."""
        return f"{'ok  ' if self.passed else 'FAIL'}  {self.name}: {self.detail}"


def check_products() -> Check:
    """Whether every kernel returns the very same integers, the largest included."""
    rng = np.random.default_rng(0)
    M, N = 8, published.CONFIG["intermediate_size"]
    x_codes = rng.integers(-128, 128, (8, N)).astype(np.int8)
    x_codes[0] = -128
    w_codes = rng.integers(-1, 2, (M, N)).astype(np.int8)
    w_codes[0] = 1
    exact = x_codes.astype(np.int64) @ w_codes.T.astype(np.int64)
    products = {
        name: prepare([pack(w_codes)], [M])(x_codes)[0]
        for name, prepare in KERNELS.items()
    }
    wrong = [name for name, acc in products.items() if not np.array_equal(acc, exact)]
    found = f"differ from int64: {', '.join(wrong)}" if wrong else ", ".join(KERNELS)
    return Check("integer products exact", not wrong, found)


def check_model() -> Check:
    """Whether a small random model has the very same logits with every kernel."""
    with tempfile.TemporaryDirectory() as folder:
        directory = write_checkpoint(Path(folder), SMALL)
        logits = {
            kernel: forward(load(directory, kernel=kernel)[0], [1, 2, 3])
            for kernel in KERNELS
        }
    other = [k for k in KERNELS if not np.array_equal(logits[k], logits["masks"])]
    found = f"differ from masks: {', '.join(other)}" if other else ", ".join(KERNELS)
    return Check("a small model says the same", not other, found)


def check_built_in() -> Check:
    """Whether the built-in model computes here what its fingerprint says."""
    file = BUILT_IN / FILE
    parts = check_fingerprint(file, *load(BUILT_IN))
    wrong = [f"{part.name}: {part.detail}" for part in parts if not part.passed]
    found = wrong[0] if wrong else f"all {len(parts)} parts of its fingerprint"
    return Check("the built-in model says the same", not wrong, found)


def check_compiled() -> Check:
    """Whether the kernel in C is right, where there is a compiler to make it."""
    try:
        code = c.load_code()
    except ValueError as error:
        return Check("kernel c", True, f"not to be had here: {error}")
    bits = 8 * np.dtype(code.activation).itemsize
    found = f"the numbers of masks, multiplied in {bits} bits"
    right = c.is_right(code)
    return Check("kernel c", right, found if right else "other numbers than masks")


def check_hashes(directory: Path) -> list[Check]:
    """Whether the files of a directory, or a GGUF file, are the published ones."""
    if directory.suffix == SUFFIX:
        return [check_hash(directory, published.GGUF_SHA256)]
    expected = published.FILES_SHA256 | {WEIGHTS: published.WEIGHTS_SHA256}
    return [check_hash(directory / name, sha256) for name, sha256 in expected.items()]


def check_hash(file: Path, sha256: str) -> Check:
    """Whether a file is the published one."""
    try:
        found = hash_file(file) if file.exists() else "no such file"
    except CheckpointError as error:  # a pipe, say, or a pointer of Git LFS
        return Check(file.name, False, str(error))
    same = found == sha256
    detail = "SHA-256 as published" if same else f"expected {sha256}, found {found}"
    return Check(file.name, same, detail)


def hash_file(file: Path) -> str:
    """The SHA-256 of a file; a CheckpointError if it cannot be read."""
    regular_file(file)
    digest = hashlib.sha256()
    size = file.stat().st_size
    with file.open("rb") as stream, progress_bar(size, file.name, unit="B") as advance:
        while piece := stream.read(PIECE):
            digest.update(piece)
            advance(len(piece))
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


def check_fingerprint(
    file: Path, model: Model, tokenizer: Tokenizer | None
) -> list[Check]:
    """Whether the model computes what a fingerprint says, part by part."""
    return [
        Check(f"fingerprint, {part.name}", not part.differ, part.detail)
        for part in match(read_fingerprint(file), model, tokenizer)
    ]


def compare(name: str, found: F32, expected: Sequence[float], limit: float) -> Check:
    """How far numbers are from published ones.

    found (n,), expected (n,)
    """
    distance = float(np.abs(found - np.array(expected)).max())
    detail = f"at most {distance:.4f} from the published ones (limit {limit})"
    return Check(name, distance <= limit, detail)
