"""Whether the numbers are the same everywhere: each row of integers, hashed.

The built-in model reads stories (its own, drawn at random, or a file's) and continues
them greedily, each time in a process of its
own: with other kernels of BLAS and of NumPy (as other processors choose them), other
kernels of ours, other numbers of threads, the text whole, in pieces and token by token,
and once by the one page alone. Every row of ``.codes``, ``.acc`` and ``.scale`` is
hashed and compared with the first run, and so are the greedy texts.

    python tools/same_numbers.py              every run, a table for the README
    python tools/same_numbers.py --quick      fewer tokens and runs, under a minute
    python tools/same_numbers.py --tokens 100000 --text FILE --blas-only
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__
from threadpoolctl import threadpool_info
from tqdm import tqdm

from minibitnet.kernels.compiler import has_compiler

CORES = ("Haswell", "Nehalem", "Sandybridge", "Zen", "SkylakeX")  # of OpenBLAS
EXACT = (".codes", ".acc", ".scale")
LENGTH = 350  # tokens of a text; the context of the built-in model is 384
PROMPT, NEW = 20, 100  # tokens of a text that are continued, and how far
DIGEST = 8  # bytes of a hash


class Run(NamedTuple):
    """One way to compute the same."""

    name: str
    kernel: str = "auto"
    threads: int = 2
    way: str = "whole"  # or "pieces", "steps", "page"
    environment: tuple[tuple[str, str], ...] = ()


def all_runs(blas_only: bool) -> Iterator[Run]:
    """The run that the others are compared with, then those."""
    yield Run("as it comes")
    for core in CORES:
        wide = any(__cpu_features__.get(name) for name in ("AVX512F", "X86_V4"))
        if core != "SkylakeX" or wide:  # else it would stop at an unknown instruction
            yield Run(f"BLAS of {core}", environment=(("OPENBLAS_CORETYPE", core),))
    usable = [name for name in __cpu_dispatch__ if __cpu_features__[name]]
    plain = (("NPY_DISABLE_CPU_FEATURES", " ".join(usable)),)
    yield Run("NumPy's plain loops", environment=plain)
    both = (*plain, ("OPENBLAS_CORETYPE", "Nehalem"))
    yield Run("both: Nehalem, plain loops", environment=both)
    if blas_only:
        return
    for threads in (1, 3):
        yield Run(f"threads: {threads}", threads=threads)
    for kernel in ("masks", "blas", "lookup", "popcount", "c"):
        if kernel != "c" or has_compiler():
            yield Run(f"kernel {kernel}", kernel=kernel)
    yield Run("in pieces of 7 tokens", way="pieces")
    yield Run("token by token", way="steps")
    yield Run("one_page.py", way="page")


def take_texts(file: Path | None, tokens: int) -> list[list[int]]:
    """The ids of texts of equal length, together at least so many tokens."""
    import minibitnet as mb

    model, tokenizer = mb.load()
    assert tokenizer is not None
    if file is not None:
        text = file.read_text(encoding="utf-8").replace("<|endoftext|>", "\n")
        ids = tokenizer.encode(text[: 8 * tokens])[:tokens]  # more than enough letters
        return [ids[start : start + LENGTH] for start in range(0, len(ids), LENGTH)]
    start, endless = tokenizer.encode("Once"), replace(model.config, eos_token_ids=())
    model = replace(model, config=endless)
    drawn = (
        list(mb.generate(model, start, LENGTH - len(start), temperature=1.0, seed=seed))
        for seed in range(-(-tokens // LENGTH))
    )
    return [start + new for new in drawn]


def compute(run: Run, texts: list[list[int]], out: Path) -> None:
    """Hash every row; write hashes and greedy texts."""
    import minibitnet as mb
    from minibitnet import one_page
    from minibitnet.stories import BUILT_IN

    model, _ = mb.load(kernel=run.kernel, threads=run.threads)
    page = one_page.load(BUILT_IN)
    size = {"pieces": 7, "steps": 1}.get(run.way, LENGTH)
    hashes, new = bytearray(), []
    for ids in texts:
        cache = mb.KVCache(model.config, len(ids))
        rows: dict[str, list[np.ndarray[Any, Any]]] = {}
        for start in range(0, len(ids), size):
            if run.way == "page":
                stages: dict[str, Any] = {}
                one_page.forward(*page, ids, [], stages)
            else:
                with mb.trace() as stages:
                    mb.forward(model, ids[start : start + size], cache)
            for name, array in stages.items():
                if name.endswith(EXACT):
                    rows.setdefault(name, []).extend(array)
        for row in (row for array in rows.values() for row in array):
            hashes += hashlib.blake2b(row.tobytes(), digest_size=DIGEST).digest()
    for ids in texts[:8]:
        if run.way == "page":
            new.append(one_page.generate(*page, ids[:PROMPT], NEW))
        else:
            new.append(list(mb.generate(model, ids[:PROMPT], max_new_tokens=NEW)))
    texts_hashes = [hashlib.sha256(str(tokens).encode()).digest() for tokens in new]
    np.savez(
        out,
        rows=np.frombuffer(hashes, np.uint64),
        texts=np.frombuffer(b"".join(texts_hashes), np.uint64).reshape(-1, 4),
        blas=" ".join(info.get("architecture", "?") for info in threadpool_info()),
    )


def run_apart(run: Run, texts: list[list[int]]) -> tuple[Any, Any, str]:
    """The hashes of a run in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "hashes.npz"
        job = Path(folder) / "job.json"
        job.write_text(json.dumps([run[:4], texts]), encoding="utf-8")
        words = [sys.executable, __file__, "--child", str(job), str(out)]
        environment = {k: v for k, v in os.environ.items() if "OPENBLAS_CORE" not in k}
        subprocess.run(words, check=True, env=environment | dict(run.environment))
        with np.load(out) as found:
            return found["rows"], found["texts"], str(found["blas"])


def main() -> int:
    """Run everything; 1 if anything differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--tokens", type=int, metavar="N", help="(default 3000)")
    parser.add_argument("--text", type=Path, metavar="FILE")
    parser.add_argument("--blas-only", action="store_true", help="only other hardware")
    parser.add_argument("--quick", action="store_true", help="for every change")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    args.tokens = args.tokens or (300 if args.quick else 3000)
    if args.child:
        job, out = map(Path, args.child)
        run, texts = json.loads(job.read_text(encoding="utf-8"))
        compute(Run(*run), texts, out)
        return 0
    texts = take_texts(args.text, args.tokens)
    runs = list(all_runs(args.blas_only))
    if args.quick:
        left_out = (
            "BLAS of Haswell",
            "BLAS of Zen",
            "NumPy's plain loops",
            "threads: 3",
        )
        runs = [run for run in runs if run.name not in left_out]
    print(f"{sum(map(len, texts))} tokens, NumPy {np.__version__}\n")
    print("| run | BLAS ran for | rows | that differ | greedy texts | that differ |")
    print("|---|---|---|---|---|---|")
    expected, failed = None, False
    for run in tqdm(runs, "comparing", disable=None, leave=False):
        rows, new, blas = run_apart(run, texts)
        expected = expected or (rows, new)
        differ = int((rows != expected[0]).sum())
        parted = int((new != expected[1]).any(axis=1).sum())
        failed |= bool(differ or parted)
        cells = run.name, blas, f"{len(rows):,}", differ, len(new), parted
        print("| " + " | ".join(map(str, cells)) + " |", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
