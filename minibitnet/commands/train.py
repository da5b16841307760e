"""Train a small ternary model on text files.

The result is a directory like any checkpoint, packed, with the masters in a directory
inside. Beside them are the log, a line of JSON for each step, and the state of the
training. If it was interrupted, the same command resumes it.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

from minibitnet.checkpoint import load
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.commands.options import (
    LAYERS,
    NOT_NEGATIVE,
    THREADS,
    at_least,
    number,
)
from minibitnet.config import Config
from minibitnet.evaluation.score import bits_per_byte
from minibitnet.files.progress import progress_bar
from minibitnet.files.published import CONFIG
from minibitnet.kernels.threads import count_threads
from minibitnet.tokenizer import BEGIN_OF_TEXT, END_OF_TEXT, END_OF_TURN
from minibitnet.training.adamw import AdamW
from minibitnet.training.export import export_masters, export_packed
from minibitnet.training.loop import (
    Settings,
    draw_parameters,
    load_state,
    save_state,
    share_of_codes,
    train,
)
from minibitnet.training.schedule import Schedule
from minibitnet.training.texts import (
    encode_documents,
    read_documents,
    split_documents,
)
from minibitnet.training.vocabulary import save_vocabulary, train_vocabulary

POSITIVE = number("above 0", lambda x: x > 0)
FRACTION = number("of 0, or from 1e-6 to below 1", lambda x: x == 0 or 1e-6 <= x < 1)
# flag, type, default, letter, what it is
OPTIONS = (
    ("--hidden-size", at_least(1), 256, "D", "length of a token's vector"),
    ("--intermediate-size", at_least(1), 688, "F", "length inside the feed-forward"),
    ("--layers", LAYERS, 6, "L", "blocks"),
    ("--heads", at_least(1), 8, "H", "query heads"),
    ("--kv-heads", at_least(1), 2, "G", "key/value heads"),
    ("--vocab-size", at_least(1), 4096, "V", "tokens, special ones included"),
    ("--context", at_least(1), 256, "T", "tokens of a text"),
    ("--batch-size", at_least(1), 16, "B", "texts of a batch"),
    ("--steps", at_least(1), 1000, "N", "batches in all"),
    ("--warmup", at_least(0), 50, "N", "steps in which the learning rate rises"),
    ("--peak-lr", POSITIVE, 3e-3, "X", "learning rate at the start of the first stage"),
    ("--second-lr", POSITIVE, 1.5e-3, "X", "learning rate at the start of the second"),
    ("--decay", NOT_NEGATIVE, 0.1, "X", "weight decay at its peak"),
    ("--clip", POSITIVE, 1.0, "X", "greatest length of the gradient"),
    ("--held-out", FRACTION, 0.02, "X", "fraction of the documents for validation"),
    ("--seed", at_least(0), 0, "N", "same seed, same weights"),
    ("--threads", THREADS, count_threads(None), "N", "how many compute at once"),
    ("--save-every", at_least(1), 100, "N", "steps between saves"),
)
STATE, LOG, MASTER = "state.npz", "log.jsonl", "master"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet train`` takes."""
    add = parser.add_argument
    add("files", nargs="+", type=Path, metavar="FILE", help="texts")
    add(
        "--validation",
        type=Path,
        metavar="FILE",
        help="texts for validation, in place of --held-out",
    )
    add("--out", type=Path, required=True, metavar="DIR", help="where to")
    for flag, kind, default, letter, what in OPTIONS:
        add(
            flag, type=kind, default=default, metavar=letter, help=f"{what} ({default})"
        )


def run(args: argparse.Namespace) -> int:
    """Train; print how well documents that were held out are predicted."""
    learn, validation = choose_documents(args)
    args.out.mkdir(parents=True, exist_ok=True)
    inner = train_vocabulary(learn, args.vocab_size)
    content = make_config(args, inner.token_to_id)
    config = parse_config(content)
    row = encode_documents(inner, learn)
    if len(row) <= args.context:
        raise ValueError(
            f"text must be more than {args.context} tokens, got {len(row)}"
        )
    optimizer = AdamW(draw_parameters(config, args.seed))
    run_steps(optimizer, config, row, args)
    export_packed(optimizer.parameters, content, args.out)
    export_masters(optimizer.parameters, content, args.out / MASTER)
    for directory in (args.out, args.out / MASTER):
        save_vocabulary(inner, directory)
    if validation:
        model, tokenizer = load(args.out)
        assert tokenizer is not None  # it has just been saved
        cost = bits_per_byte(model, tokenizer, validation)
        print(f"{cost:.4f} bits per byte on {len(validation)} documents held out")
    return 0


def choose_documents(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The documents to learn from, and those for validation."""
    documents = read_documents(args.files)
    if args.validation:
        return documents, read_documents([args.validation])
    return split_documents(documents, args.held_out)


def make_config(args: argparse.Namespace, token_to_id: Any) -> dict[str, Any]:
    """The config.json of a model of these sizes."""
    return CONFIG | {
        "hidden_size": args.hidden_size,
        "intermediate_size": args.intermediate_size,
        "num_hidden_layers": args.layers,
        "num_attention_heads": args.heads,
        "num_key_value_heads": args.kv_heads,
        "vocab_size": args.vocab_size,
        "max_position_embeddings": args.context,
        "rope_theta": 10_000.0,  # the context is short
        "bos_token_id": token_to_id(BEGIN_OF_TEXT),
        "eos_token_id": [token_to_id(END_OF_TEXT), token_to_id(END_OF_TURN)],
    }


def make_settings(args: argparse.Namespace) -> Settings:
    """How to train."""
    return Settings(
        Schedule(args.steps, args.warmup, args.peak_lr, args.second_lr, args.decay),
        batch_size=args.batch_size,
        context=args.context,
        clip=args.clip,
        seed=args.seed,
        threads=args.threads,
    )


def run_steps(
    optimizer: AdamW, config: Config, row: Any, args: argparse.Namespace
) -> None:
    """Train to the end, from the saved state if there is one.

    row (n,)
    """
    state, log = args.out / STATE, args.out / LOG
    if state.exists():
        load_state(optimizer, state)
    keep_lines(log, optimizer.steps)
    settings = make_settings(args)
    tokens = args.batch_size * args.context
    with (
        log.open("a") as lines,
        progress_bar(args.steps, "training", done=optimizer.steps) as advance,
    ):
        for report in train(optimizer, config, row, settings):
            done = optimizer.steps
            if done % args.save_every == 0 or done == args.steps:
                shares = share_of_codes(optimizer.parameters)
                lines.write(json.dumps(report._asdict() | {"codes": shares}) + "\n")
                lines.flush()
                save_state(optimizer, state)
            else:
                lines.write(json.dumps(report._asdict()) + "\n")
            speed = tokens / report.seconds
            bits = report.loss / math.log(2)
            advance(1, f"{bits:.3f} bits/token, {speed:.0f} tokens/s")


def keep_lines(log: Path, steps: int) -> None:
    """Cut off what a log says of steps after the last that was saved."""
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    log.write_text("".join(lines[:steps]))
