"""Train a small ternary model on text files.

The result is a directory like any checkpoint, packed, with the masters in a directory
inside. Beside them are the log, a line of JSON for each step, the state of the training
and what it was begun with. If it was interrupted, the same command resumes it, and ends
with the same weights; a command that would train otherwise is refused.
"""

import argparse
import math
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import minibitnet
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
from minibitnet.files.progress import announce, progress_bar
from minibitnet.files.published import CONFIG
from minibitnet.files.writing import claim, place, write_json
from minibitnet.kernels.threads import count_threads
from minibitnet.tokenizer import BEGIN_OF_TEXT, END_OF_TEXT, END_OF_TURN
from minibitnet.training import state, texts
from minibitnet.training.adamw import AdamW
from minibitnet.training.backward import Ids
from minibitnet.training.export import export
from minibitnet.training.loop import Settings, draw_parameters, train
from minibitnet.training.schedule import Schedule
from minibitnet.training.vocabulary import train_vocabulary

if TYPE_CHECKING:
    from tokenizers import Tokenizer

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
HARMLESS = ("--threads", "--save-every")  # the weights do not depend on them
LARGE = 10**6  # characters of text, from which on a vocabulary takes a while


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
    settings = make_settings(args)
    learn, validation = choose_documents(args)
    begun = describe(args, learn)
    with claim(args.out) as part:
        state.check_begun(args.out, begun)
        inner, content, row = prepare(args, learn)
        config = parse_config(content)
        optimizer = AdamW(draw_parameters(config, args.seed))
        write_json(part / state.BEGUN, begun)
        state.resume(optimizer, args.out, part)
        run_steps(optimizer, config, row, settings, args, part)
        export(optimizer.parameters, content, inner, part)
        place(part, args.out)
    if validation:
        validate(args.out, validation)
    return 0


def validate(directory: Path, documents: Sequence[str]) -> None:
    """Print how well the model in a directory predicts documents."""
    model, tokenizer = load(directory)
    assert tokenizer is not None  # it has just been saved
    cost = bits_per_byte(model, tokenizer, documents)
    print(f"{cost:.4f} bits per byte on {len(documents)} documents held out")


def describe(args: argparse.Namespace, learn: Sequence[str]) -> dict[str, Any]:
    """All that the weights depend on, by the names that a user knows."""
    options = {
        flag: getattr(args, flag[2:].replace("-", "_"))
        for flag, *_ in OPTIONS
        if flag not in HARMLESS
    }
    digest = sha256("\0".join(learn).encode()).hexdigest()
    versions = {module.__name__: module.__version__ for module in (minibitnet, np)}
    return options | {"FILE": f"texts with SHA-256 {digest}"} | versions


def prepare(
    args: argparse.Namespace, learn: Sequence[str]
) -> tuple["Tokenizer", dict[str, Any], Ids]:
    """A vocabulary, the config.json of the model, and the ids of all documents."""
    size = sum(map(len, learn))
    if size > LARGE:
        announce(f"learning a vocabulary from {size:,} characters")
    inner = train_vocabulary(learn, args.vocab_size)
    content = make_config(args, inner.token_to_id)
    parse_config(content)  # refuses sizes before the texts are encoded
    row = texts.encode_documents(inner, learn)
    if len(row) <= args.context:
        raise ValueError(
            f"text must be more than {args.context} tokens, got {len(row)}"
        )
    return inner, content, row


def choose_documents(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """The documents to learn from, and those for validation."""
    documents = texts.read_documents(args.files)
    if args.validation:
        return documents, texts.read_documents([args.validation])
    return texts.split_documents(documents, args.held_out)


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
    optimizer: AdamW,
    config: Config,
    row: Ids,
    settings: Settings,
    args: argparse.Namespace,
    part: Path,
) -> None:
    """Train to the end.

    row (n,)
    """
    announce(f"training: step {optimizer.steps} of {args.steps}, {len(row):,} tokens")
    tokens = args.batch_size * args.context
    steps = state.keep(
        train(optimizer, config, row, settings),
        optimizer,
        args.out,
        part,
        every=args.save_every,
        total=args.steps,
    )
    with progress_bar(args.steps, "training", done=optimizer.steps) as advance:
        for report in steps:
            speed = tokens / report.seconds
            bits = report.loss / math.log(2)
            advance(1, f"{bits:.3f} bits/token, {speed:.0f} tokens/s")
