"""Write a random checkpoint in the real layout."""

import argparse
import shutil
import sys
from pathlib import Path
from typing import Any

from minibitnet.files.published import CONFIG
from minibitnet.files.tensorfile import WEIGHTS
from minibitnet.checkpoint.synth import write_checkpoint
from minibitnet.training.vocabulary import (
    SMALLEST,
    save_vocabulary,
    train_vocabulary,
)

# flag, key of config.json, what it is, and a size that runs in no time
SIZES = (
    ("--hidden-size", "hidden_size", "D", 256),
    ("--intermediate-size", "intermediate_size", "F", 688),
    ("--layers", "num_hidden_layers", "L", 4),
    ("--heads", "num_attention_heads", "H", 8),
    ("--kv-heads", "num_key_value_heads", "G", 2),
    ("--vocab-size", "vocab_size", "V", SMALLEST),
    ("--context", "max_position_embeddings", "N", 512),
)
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet synth`` takes."""
    parser.add_argument("directory", type=Path, metavar="DIR", help="where to")
    parser.add_argument(
        "--like",
        choices=["small", "2b4t"],
        default="small",
        help="where sizes come from that are not given (2b4t: 1.2 GB; default small)",
    )
    for flag, key, letter, small in SIZES:
        parser.add_argument(
            flag, dest=key, type=int, metavar=letter, help=f"{small}, or {CONFIG[key]}"
        )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default 0")
    parser.add_argument(
        "--tokenizer",
        type=Path,
        metavar="DIR",
        help="copy the tokenizer's files from there",
    )


def run(args: argparse.Namespace) -> int:
    """Write the files; print where they lie.

    Raises
    ------
    ValueError
        If there is a checkpoint already, or no tokenizer where it should be.
    """
    if (args.directory / WEIGHTS).exists():
        raise ValueError(
            f"{args.directory / WEIGHTS}: expected no such file, found one"
        )
    if args.tokenizer:
        copy_tokenizer(args.tokenizer, args.directory)
    content = make_config(args)
    quiet = not sys.stderr.isatty()
    write_checkpoint(args.directory, content, args.seed, quiet)
    if not args.tokenizer and content["vocab_size"] == SMALLEST:
        save_vocabulary(train_vocabulary([], SMALLEST), args.directory)
    print(args.directory)
    return 0


def copy_tokenizer(source: Path, directory: Path) -> None:
    """Take the tokenizer of another checkpoint.

    Raises
    ------
    ValueError
        If it is not there.
    """
    for file in TOKENIZER_FILES:
        if not (source / file).exists():
            raise ValueError(f"{source}: expected {file}, found no such file")
    directory.mkdir(parents=True, exist_ok=True)
    for file in TOKENIZER_FILES:
        shutil.copyfile(source / file, directory / file)


def make_config(args: argparse.Namespace) -> dict[str, Any]:
    """The config.json of the sizes that were given."""
    content = dict(CONFIG)
    for _, key, _, small in SIZES:
        given = getattr(args, key)
        if given is not None:
            content[key] = given
        elif args.like == "small":
            content[key] = small
    if content["vocab_size"] <= content["eos_token_id"]:
        content["bos_token_id"] = content["vocab_size"] - 2
        content["eos_token_id"] = content["vocab_size"] - 1
    return content
