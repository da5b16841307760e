"""The files of a checkpoint: its numbers, and its arrays where they are.

A large model comes in several safetensors files (shards), with an index that says which
array is in which. A GGUF file holds all of it (`minibitnet.checkpoint.fromgguf`).
"""

import os
from pathlib import Path
from typing import NamedTuple

from minibitnet.checkpoint.configfile import Stored, parse_config, parse_stored
from minibitnet.checkpoint.configkeys import refuse_unconverted
from minibitnet.checkpoint.fromgguf import as_packed
from minibitnet.config import Config
from minibitnet.files.gguf import GGUF, SUFFIX, read_gguf
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


def open_checkpoint(path: Path) -> Checkpoint:
    """What a directory, or a GGUF file, holds.

    Raises CheckpointError if a file is missing or damaged.
    """
    if path.suffix == SUFFIX:
        return open_gguf(read_gguf(path))
    generation_file = path / "generation_config.json"
    generation = None
    if os.path.lexists(generation_file):
        generation = read_json(generation_file, LARGEST_CONFIG)
    where = str(path / "config.json")
    content = read_json(path / "config.json", LARGEST_CONFIG)
    config = parse_config(content, generation, where)
    stored = parse_stored(content, where)
    tensors = _read_all(path)
    quantization = Keys(content, where).inside("quantization_config")
    refuse_unconverted(quantization, tensors)
    return Checkpoint(config, stored, tensors)


def open_gguf(gguf: GGUF) -> Checkpoint:
    """What a GGUF file holds, as a directory would."""
    content, tensors = as_packed(gguf)
    where = str(gguf.file)
    config = parse_config(content, where=where)
    return Checkpoint(config, parse_stored(content, where), tensors)


def _read_all(directory: Path) -> dict[str, Tensor]:
    """The arrays of a directory, in one file or several."""
    if os.path.lexists(directory / WEIGHTS):
        return read_tensors(directory / WEIGHTS)
    if os.path.lexists(directory / INDEX):
        return _read_shards(directory)
    raise CheckpointError(f"{directory}: expected {WEIGHTS} or {INDEX}, found neither")


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
