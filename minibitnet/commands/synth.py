"""Write a random checkpoint in the real layout."""

import argparse
import shutil
from pathlib import Path
from typing import Any

from minibitnet.checkpoint.synth import SMALL, write_files
from minibitnet.commands.options import LAYERS, at_least
from minibitnet.files.published import CONFIG
from minibitnet.files.writing import new_directory
from minibitnet.training.vocabulary import (
    SMALLEST,
    save_vocabulary,
    train_vocabulary,
)

# flag, key of config.json, letter
SIZES = (
    ("--hidden-size", "hidden_size", "D"),
    ("--intermediate-size", "intermediate_size", "F"),
    ("--layers", "num_hidden_layers", "L"),
    ("--heads", "num_attention_heads", "H"),
    ("--kv-heads", "num_key_value_heads", "G"),
    ("--vocab-size", "vocab_size", "V"),
    ("--context", "max_position_embeddings", "N"),
)
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
TEMPLATE = "chat_template.jinja"  # not every tokenizer has it


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet synth`` takes."""
    add = parser.add_argument
    add("directory", type=Path, metavar="DIR", help="where to")
    add(
        "--like",
        choices=["small", "2b4t"],
        default="small",
        help="defaults for the sizes not given (2b4t: 1.2 GB; default small)",
    )
    for flag, key, letter in SIZES:
        defaults = f"{SMALL[key]}, or {CONFIG[key]}"
        kind = LAYERS if letter == "L" else at_least(1)
        add(flag, dest=key, type=kind, metavar=letter, help=defaults)
    add("--seed", type=at_least(0), default=0, metavar="N", help="default 0")
    add(
        "--tokenizer",
        type=Path,
        metavar="DIR",
        help="copy the tokenizer's files from there",
    )


def run(args: argparse.Namespace) -> int:
    """Write the files; print where they are."""
    content = make_config(args)
    with new_directory(args.directory) as part:
        if args.tokenizer:
            copy_tokenizer(args.tokenizer, part)
        elif content["vocab_size"] == SMALLEST:
            save_vocabulary(train_vocabulary([], SMALLEST), part)
        write_files(part, content, args.seed)
    print(args.directory)
    return 0


def copy_tokenizer(source: Path, directory: Path) -> None:
    """Take the tokenizer of another checkpoint."""
    for file in TOKENIZER_FILES:
        if not (source / file).is_file():
            raise ValueError(f"{source}: expected {file}, found no such file")
    there = (source / TEMPLATE).is_file()
    for file in (*TOKENIZER_FILES, TEMPLATE) if there else TOKENIZER_FILES:
        shutil.copyfile(source / file, directory / file)


def make_config(args: argparse.Namespace) -> dict[str, Any]:
    """The config.json of the sizes that were given."""
    content = dict(SMALL if args.like == "small" else CONFIG)
    for _, key, _ in SIZES:
        if getattr(args, key) is not None:
            content[key] = getattr(args, key)
    if content["vocab_size"] <= CONFIG["eos_token_id"]:  # the last two ids
        content["bos_token_id"] = content["vocab_size"] - 2
        content["eos_token_id"] = content["vocab_size"] - 1
    return content
