"""The files of a checkpoint: its numbers, and its arrays where they are.

A large model comes in several safetensors files (shards), with an index that says which
array is in which.
"""

import os
from pathlib import Path
from typing import NamedTuple

from minibitnet.checkpoint.configfile import Stored, parse_config, parse_stored
from minibitnet.checkpoint.configkeys import refuse_unconverted
from minibitnet.config import Config
from minibitnet.files.jsonfile import CheckpointError, Keys, read_json
from minibitnet.files.tensorfile import (
    INDEX,
    WEIGHTS,
    Tensor,
    read_index,
    read_tensors,
)

LARGEST_CONFIG = 2**20  # bytes; there is none of a hundred thousand


class Checkpoint(NamedTuple):
    """What a directory holds, before a model is made of it."""

    config: Config
    stored: Stored
    tensors: dict[str, Tensor]  # by name, mapped


def open_checkpoint(directory: Path) -> Checkpoint:
    """What a directory holds; a CheckpointError if a file is missing or damaged."""
    generation_file = directory / "generation_config.json"
    generation = None
    if os.path.lexists(generation_file):
        generation = read_json(generation_file, LARGEST_CONFIG)
    where = str(directory / "config.json")
    content = read_json(directory / "config.json", LARGEST_CONFIG)
    config = parse_config(content, generation, where)
    stored = parse_stored(content, where)
    if os.path.lexists(directory / WEIGHTS):
        tensors = read_tensors(directory / WEIGHTS)
    elif os.path.lexists(directory / INDEX):
        tensors = _read_shards(directory)
    else:
        raise CheckpointError(
            f"{directory}: expected {WEIGHTS} or {INDEX}, found neither"
        )
    quantization = Keys(content, where).inside("quantization_config")
    refuse_unconverted(quantization, tensors)
    return Checkpoint(config, stored, tensors)


def _read_shards(directory: Path) -> dict[str, Tensor]:
    """The arrays of several files, each in the file that the index names."""
    index = directory / INDEX
    places = read_index(index)
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(places.values())):
        tensors |= read_tensors(directory / file)
    for name in sorted(places.keys() | tensors.keys()):
        expected = places.get(name, "no file")
        found = tensors[name].file.name if name in tensors else "no file"
        if found != expected:
            raise CheckpointError(
                f"{index}: {name}: expected in {expected}, found in {found}"
            )
    return tensors
