"""The files of a checkpoint: its numbers, and its arrays where they are.

A large model comes in several safetensors files (shards), with an index that says which
array is in which.
"""

from pathlib import Path
from typing import NamedTuple

from minibitnet.checkpoint.configfile import Stored, parse_config, parse_stored
from minibitnet.config import Config
from minibitnet.files.jsonfile import CheckpointError, read_json
from minibitnet.files.tensorfile import INDEX, WEIGHTS, Tensor, read_tensors


class Checkpoint(NamedTuple):
    """What a directory holds, before a model is made of it."""

    config: Config
    stored: Stored
    tensors: dict[str, Tensor]  # by name, mapped


def open_checkpoint(directory: Path) -> Checkpoint:
    """What a directory holds; a CheckpointError if a file is missing or damaged."""
    generation_file = directory / "generation_config.json"
    generation = read_json(generation_file) if generation_file.exists() else None
    where = str(directory / "config.json")
    content = read_json(directory / "config.json")
    config = parse_config(content, generation, where)
    stored = parse_stored(content, where)
    if (directory / WEIGHTS).exists():
        tensors = read_tensors(directory / WEIGHTS)
    elif (directory / INDEX).exists():
        tensors = _read_shards(directory)
    else:
        raise CheckpointError(
            f"{directory}: expected {WEIGHTS} or {INDEX}, found neither"
        )
    return Checkpoint(config, stored, tensors)


def _read_shards(directory: Path) -> dict[str, Tensor]:
    """The arrays of several files, each in the file that the index names."""
    index = directory / INDEX
    places = _read_index(index)
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


def _read_index(index: Path) -> dict[str, str]:
    """In which file each array is; files lie beside the index, nowhere else."""
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CheckpointError(f"{index}: weight_map: expected names, found {places!r}")
    for name, file in places.items():
        if not isinstance(file, str) or Path(file).name != file:
            raise CheckpointError(
                f"{index}: {name}: expected the name of a file, found {file!r}"
            )
    return places
