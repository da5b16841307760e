"""Two versions of the package, step by step in turn: what a change costs.

    git worktree add ../before c9fa97d
    minibitnet synth full --like 2b4t
    python benchmarks/side_by_side.py ../before . --model full --threads 2

A machine that is slow for a minute is slow for both, so the ratio of neighbouring steps
can be trusted where seconds cannot. A context is filled with random keys and values:
what they are makes no difference to the time.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import numpy as np


def serve(model_directory, threads):
    """In a process of its own: read requests from standard input, answer in seconds."""
    import minibitnet as mb

    model, _ = mb.load(model_directory, threads=threads)
    rng = np.random.default_rng(0)
    ids = rng.integers(0, model.config.vocab_size, 512)
    cache = mb.KVCache(model.config, model.config.max_position_embeddings)
    for line in sys.stdin:
        what, count = line.split()
        if what == "context":
            new = slice(cache.length, max(cache.length, int(count)))
            for array in (cache.keys, cache.values):
                array[:, :, new] = rng.random(array[:, :, new].shape, np.float32)
            cache.length = int(count)
        fresh = mb.KVCache(model.config, int(count)) if what == "prefill" else cache
        read = ids[: int(count)] if what == "prefill" else ids[:1]
        start = time.perf_counter()
        mb.forward(model, read, fresh, last=True)
        seconds = time.perf_counter() - start
        if what != "prefill":
            cache.length -= 1
        print(seconds, flush=True)


def start(tree, args):
    """A process that serves with the package of a tree."""
    words = [sys.executable, __file__, "--serve", "--model", str(args.model.resolve())]
    return subprocess.Popen(
        [*words, "--threads", str(args.threads)],
        env=os.environ | {"PYTHONPATH": str(tree.resolve())},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def ask(process, request):
    print(request, file=process.stdin, flush=True)
    return float(process.stdout.readline())


def compare(name, request, processes, rounds):
    """Ask both in turn; print the medians and the median of the ratios."""
    pairs = [[ask(process, request) for process in processes] for _ in range(rounds)]
    before, after = (median(times) * 1000 for times in zip(*pairs, strict=True))
    ratio = median(b / a for a, b in pairs)
    print(f"| {name} | {before:.0f} | {after:.0f} | {ratio:.3f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("trees", nargs="*", type=Path, metavar="TREE")
    parser.add_argument("--model", type=Path, required=True, metavar="DIR")
    parser.add_argument("--threads", type=int, default=1, metavar="N")
    parser.add_argument("--rounds", type=int, default=9, metavar="N")
    parser.add_argument("--contexts", default="16,1024,4090", metavar="S,S")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.model, args.threads)
        return
    processes = [start(tree, args) for tree in args.trees]
    print(f"{args.threads} threads\n\n| | before, ms | after, ms | ratio |")
    print("|---|---|---|---|")
    for context in map(int, args.contexts.split(",")):
        for process in processes:
            ask(process, f"context {context}")  # the first step at a length is slow
        compare(f"decode at {context:,}", "step 1", processes, args.rounds)
    compare("prefill 256", "prefill 256", processes, 3)
    for process in processes:
        process.communicate()  # the end of its input ends it


if __name__ == "__main__":
    main()
