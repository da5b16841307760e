"""The precision ladder: how far apart right programs are.

A program with another arithmetic is near this one everywhere and equal to it nowhere.
How near should it be, stage by stage, and how soon does its text part? Whoever compares
a port with transformers wants to know, and a distance is worth nothing without the
distance between two programs that are both right. So the model reads a text on every
rung of the ladder (`minibitnet.golden.rungs`), and each is measured against the
contract.

Notes
-----
::

    codes       the share of positions that have another code anywhere
    all others  |found - right| / |right|, lengths over all positions of the stage
    first code  how many tokens are read before one has another code, in any layer
    first token how many tokens are written, each time the most likely one, before
                another one is

A rung reads what the model wrote by the contract. Up to the first other token it would
have written the same itself.

Examples
--------
>>> right, found = np.array([[3, 4]], np.float32), np.array([[3, 3.5]], np.float32)
>>> distance(right, found)
0.1
>>> distance(np.array([[3, 4], [1, 2]], np.int8), np.array([[3, 5], [1, 2]], np.int8))
0.5
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.checkpoint.open import open_checkpoint
from minibitnet.decode import generate
from minibitnet.files.gguf import SUFFIX
from minibitnet.files.jsonfile import CheckpointError
from minibitnet.files.progress import progress
from minibitnet.golden.evidence import run_page
from minibitnet.golden.rungs import RUNGS
from minibitnet.golden.traces import record
from minibitnet.golden.zoo.bug import mutate
from minibitnet.model import Model
from minibitnet.weights import is_ternary

Array = NDArray[Any]
Stages = Mapping[str, Array]


@dataclass(frozen=True)
class Rung:
    """How far a program is from the contract, and when it parts from it."""

    name: str
    distances: Mapping[str, float]  # by stage: see `distance`
    first_code: tuple[int, str] | None  # tokens read before it, and the stage
    first_token: int | None  # tokens written before another one; None: none is


def climb(path: Path, model: Model, ids: Sequence[int], new: int) -> list[Rung]:
    """The rungs on a model that reads ids and the so many tokens it writes after them.

    Raises CheckpointError if transformers would round elsewhere in that model.
    """
    check_packed(path)
    run_page(path, ids[:1], ["final_norm"])  # raises if the page reads another model
    text = [*ids, *generate(model, ids, new)][: model.config.max_position_embeddings]
    right = record(model, text)
    return [
        measure(name, right, read(name, path, text), len(ids))
        for name in progress(RUNGS, "computing")
    ]


def read(name: str, path: Path, ids: Sequence[int]) -> Stages:
    """The stages of a text on the rung of that name."""
    page, stages = mutate(*RUNGS[name]), dict[str, Array]()
    with np.errstate(all="ignore"):
        page.forward(*page.load(path), ids, [], stages)
    return stages


def check_packed(path: Path) -> None:
    """Refuse a checkpoint of another kind than 2B4T's."""
    expected = f"{path}: expected a directory, packed weights, scales that multiply"
    if path.suffix == SUFFIX:
        raise CheckpointError(f"{expected}, found a {SUFFIX} file")
    checkpoint = open_checkpoint(path)
    if checkpoint.stored.scale_divides:
        raise CheckpointError(f"{expected}, found some that divide")
    for name, tensor in checkpoint.tensors.items():
        if is_ternary(name) and tensor.dtype != "U8":
            raise CheckpointError(f"{expected}, found {name} of {tensor.dtype}")


def measure(name: str, right: Stages, found: Stages, prompt: int) -> Rung:
    """How far the stages of a program are from the right ones."""
    both = [stage for stage in right if stage in found]
    others = right["logits"].argmax(axis=1) != found["logits"].argmax(axis=1)
    written = np.flatnonzero(others[prompt - 1 :])
    return Rung(
        name,
        {stage: distance(right[stage], found[stage]) for stage in both},
        min(first_codes(right, found), default=None),
        int(written[0]) if len(written) else None,
    )


def distance(right: Array, found: Array) -> float:
    """Of codes the share of rows that differ; else the distance of the two arrays.

    right (...), found (...)

    The distance is in parts of the length of the right one.
    """
    if right.dtype == np.int8:
        return float((right != found).any(axis=1).mean())
    wide = right.astype(np.float64)
    return float(np.linalg.norm(wide - found) / np.linalg.norm(wide))


def first_codes(right: Stages, found: Stages) -> Iterator[tuple[int, str]]:
    """The first position of each stage at which a code is another."""
    for name, array in right.items():
        if array.dtype == np.int8:
            rows = np.flatnonzero((array != found[name]).any(axis=1))
            if len(rows):
                yield int(rows[0]), name
