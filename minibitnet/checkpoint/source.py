"""A model in any form, taken array by array for whoever writes it anew.

A directory or a GGUF file is opened, and each array a model has is taken by its name,
as in loading. But nothing is read: a matrix is a promise of its codes, an embedding a
part of the mapped file. All that is missing, left over or of a wrong shape is so found
before a byte is written.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from minibitnet.checkpoint.forms import Floats, Taken
from minibitnet.checkpoint.gguftokenizer import tokenizer_directory
from minibitnet.checkpoint.inspect import is_tied
from minibitnet.checkpoint.open import Checkpoint, open_checkpoint, open_gguf
from minibitnet.checkpoint.take import Arrays, Matrix
from minibitnet.config import Config
from minibitnet.files.gguf import SUFFIX, read_gguf
from minibitnet.files.jsonfile import CheckpointWarning
from minibitnet.tokenizer import load_tokenizer
from minibitnet.weights import EMBEDDING, HEAD, SUB_NORMS, is_ternary, shapes


class Source(NamedTuple):
    """A model that is to be written in another form."""

    config: Config  # its ends are those of the chat template, too
    taken: Taken
    sub_norms: bool
    tied: bool
    directory: Path  # with the files of its tokenizer, if it has one
    bos_ids: list[int]


@contextmanager
def opened(path: Path) -> Iterator[Source]:
    """The model in a directory or a GGUF file.

    Raises CheckpointError if it is damaged or no model.
    """
    if path.suffix == SUFFIX:
        gguf = read_gguf(path)
        with tokenizer_directory(gguf) as directory:
            yield take_all(open_gguf(gguf), directory)
    else:
        yield take_all(open_checkpoint(path), path)


def take_all(checkpoint: Checkpoint, directory: Path) -> Source:
    """Every array of a model, in the order of the computation; none may be left."""
    arrays, tied = Arrays(checkpoint), is_tied(checkpoint)
    every = shapes(arrays.config, sub_norms=arrays.has_sub_norms, tied=tied)
    taken = {name: take(arrays, name, shape) for name, shape in every.items()}
    if tied:
        arrays.left.pop(HEAD, None)  # the embedding once more
    arrays.check_empty()
    for note in arrays.notes:
        warnings.warn(CheckpointWarning(note), stacklevel=5)
    tokenizer = load_tokenizer(directory)
    ends = [] if tokenizer is None else tokenizer.end_of_turn.values()
    ends = tuple(dict.fromkeys([*arrays.config.eos_token_ids, *ends]))
    return Source(
        replace(arrays.config, eos_token_ids=ends),
        taken,
        arrays.has_sub_norms,
        tied,
        directory,
        [] if tokenizer is None else tokenizer.bos_ids,
    )


def take(arrays: Arrays, name: str, shape: tuple[int, ...]) -> Matrix | Floats:
    """An array, as `Arrays` has those of its kind."""
    stem = name.removesuffix(".weight")
    if name in (EMBEDDING, HEAD):
        return arrays.rows(name)
    if is_ternary(name):
        M, N = shape
        return arrays.matrix(stem, M, N)
    [N] = shape
    if not stem.endswith(SUB_NORMS):
        return arrays.gain(stem, N)
    *layer, module, norm = stem.split(".")
    gain = arrays.sub_norm(".".join(layer), f"{module}.{norm}", N)
    return np.asarray(gain, np.float32)  # there is one, or `shapes` would not name it
