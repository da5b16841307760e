"""Measure how well a model predicts a text: perplexity, bits per token and per byte.

As llama-perplexity does it, so that runtimes of the same weights can be compared: the
text in chunks of --context tokens, the first of each replaced by begin-of-text, of the
second half each token but the first scored. With --stride a sliding window instead, as
in the documentation of transformers; then every token is scored.

A line tells of each chunk that is done, on standard error; Ctrl-C ends the measuring,
and what is known so far is printed.

The 17.11 that is published for 2B4T on WikiText-2 is another number than this prints
for the same weights: it was measured with a GGUF file that does not say how to split a
text, so llama.cpp split it otherwise. --pre default splits like it. --activation silu
shows what a runtime finds that takes SiLU for squared ReLU.
"""

import argparse
import io
import math
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from minibitnet.arrays import F64
from minibitnet.commands import options
from minibitnet.commands.generate import read_text
from minibitnet.commands.streams import note, print_json
from minibitnet.evaluation.perplexity import (
    Estimate,
    Window,
    chunks,
    score_end,
    windows,
)
from minibitnet.feedforward import ACTIVATIONS
from minibitnet.model import Model
from minibitnet.text.defaultsplit import by_default

CONTEXT = 512  # llama-perplexity's


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet perplexity`` takes."""
    add = parser.add_argument
    add("file", metavar="FILE", help="the text, in UTF-8; - reads standard input")
    add(
        "--context",
        type=options.at_least(2),
        metavar="T",
        help=f"tokens of a chunk ({CONTEXT}, or what the model can read)",
    )
    add(
        "--stride",
        type=options.at_least(1),
        metavar="N",
        help="a window that moves so many tokens at a time, in place of chunks",
    )
    add(
        "--chunks",
        type=options.at_least(1),
        metavar="N",
        help="measure so many chunks or windows (all)",
    )
    add(
        "--activation",
        choices=ACTIVATIONS,
        metavar="NAME",
        help=f"of the gate: {', '.join(ACTIVATIONS)} (what the checkpoint says)",
    )
    add(
        "--pre",
        choices=["default"],
        metavar="default",
        help="split the text as llama.cpp does by default (as the checkpoint says)",
    )
    add("--json", action="store_true", help="print JSON")
    options.add_model(parser)


def run(args: argparse.Namespace) -> int:
    """Measure, and print; 130 if it was interrupted."""
    text = read_file(args.file)
    model, tokenizer = options.load_with_tokenizer(args)
    if args.activation:
        model = replace(model, config=replace(model.config, hidden_act=args.activation))
    inner = by_default(tokenizer.inner) if args.pre else tokenizer.inner
    ids = inner.encode_ordinary(text)
    cut = cut_up([*tokenizer.bos_ids, *ids], tokenizer.bos_ids, model, args)
    known: list[F64] = []
    start = time.perf_counter()
    try:
        measure(model, cut[: args.chunks], known)
        status = 0
    except KeyboardInterrupt:
        if not known:
            raise
        status = 130
    estimate = Estimate.of(known)
    report = {
        "perplexity": finite(estimate.perplexity),
        "standard_error": finite(estimate.perplexity_error),
        "bits_per_token": estimate.bits,
        "bits_per_byte": estimate.bits * len(ids) / len(text.encode()),
        "tokens": estimate.tokens,
        "chunks": len(known),
        "chunks_of_the_text": len(cut),
        "context": max(len(window.ids) for window in cut),
        "stride": args.stride,
        "tokens_of_the_text": len(ids),
        "seconds": time.perf_counter() - start,
        "interrupted": status != 0,
    }
    print_json(report) if args.json else print_report(estimate, report)
    return status


def read_file(name: str) -> str:
    """The text of a file, or what comes in; each line break as it stands there."""
    if name == "-":
        if isinstance(sys.stdin, io.TextIOWrapper):
            sys.stdin.reconfigure(newline="")
        return read_text(sys.stdin, "standard input")
    with open(Path(name), encoding="utf-8", newline="") as stream:
        return read_text(stream, name)


def cut_up(
    ids: Sequence[int], bos_ids: Sequence[int], model: Model, args: argparse.Namespace
) -> list[Window]:
    """The chunks or windows that are asked for."""
    most = model.config.max_position_embeddings
    context = args.context or min(CONTEXT, most)
    if context > most:
        raise ValueError(
            f"--context: expected at most {most}, which is all the model can read, "
            f"got {context}"
        )
    if args.stride:
        return windows(ids, context, args.stride)
    return chunks(ids, context, bos_ids)


def measure(model: Model, cut: Sequence[Window], known: list[F64]) -> None:
    """Score each window, add it to those that are known, and tell what is known."""
    start = time.perf_counter()
    for n, window in enumerate(cut, 1):
        known.append(score_end(model, window))
        estimate = Estimate.of(known)
        left = (time.perf_counter() - start) / n * (len(cut) - n)
        note(f"{n} of {len(cut)}: perplexity {estimate}, {left:.0f} s to go")


def finite(number: float) -> float | None:
    """A number as JSON can have it."""
    return number if math.isfinite(number) else None


def print_report(estimate: Estimate, report: dict[str, Any]) -> None:
    """Print for people."""
    print(f"perplexity      {estimate}")
    print(f"bits per token  {report['bits_per_token']:.4f}")
    print(f"bits per byte   {report['bits_per_byte']:.4f}")
    end = ", interrupted" if report["interrupted"] else ""
    print(
        f"{report['tokens']:,} tokens scored, in {report['chunks']:,} of "
        f"{report['chunks_of_the_text']:,} chunks of up to {report['context']} tokens"
        f"{end}"
    )
