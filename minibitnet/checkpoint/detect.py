"""Detect the layout of a file: of one tensor, or of all that a file holds.

What a file says of a tensor is its name and its size, sometimes a type. The rest is
found by trying (`minibitnet.formats.detect`). A whole checkpoint tells more than one
matrix: all its matrices have one layout, and the gains of its norms say how much each
input and output matters. With a config the heads are known, too, and so it may be seen
how RoPE takes the rows of q and k (`minibitnet.checkpoint.rowpairs`).

Examples
--------
>>> from minibitnet.stories import BUILT_IN
>>> found = find_layout(BUILT_IN)
>>> found.verdict.layouts, found.verdict.sure, found.order
(('packed',), True, 'halves')
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from minibitnet.arrays import F32
from minibitnet.checkpoint.packedbytes import File, Stored, read_file
from minibitnet.checkpoint.rowpairs import choose, read_pairs, weigh
from minibitnet.files.progress import progress
from minibitnet.formats.detect import READINGS, Guess, Verdict, detect, judge, pool

LAYERS = 3  # of a checkpoint, the first and last among them


class Found(NamedTuple):
    """What a file was found to be."""

    tensors: Sequence[str]
    shape: tuple[int, int] | None  # of one tensor
    guesses: Sequence[Guess]
    verdict: Verdict
    order: str | None = None  # of q's and k's rows; None where there is no config
    evidence: Mapping[str, float] = MappingProxyType({})  # in standard errors


def find_layout(
    path: str | Path,
    tensor: str | None = None,
    rows: int | None = None,
    columns: int | None = None,
) -> Found:
    """The layout of a tensor, or of all matrices of some layers.

    Parameters
    ----------
    path : str or Path
        A safetensors file, or a directory that has some; a GGUF file; a .npy file, or
        any other one, of bytes.
    tensor : str, optional
        The name of one.
    rows, columns : int, optional
        The size of the matrix, where the file does not say, or says otherwise.

    Raises
    ------
    CheckpointError
        If the file cannot be read, is damaged, or holds no such tensor.
    ValueError
        If one of rows and columns is missing, or there are several tensors for them.
    """
    if (rows is None) != (columns is None):
        raise ValueError("rows and columns must be given together")
    shape = None if rows is None or columns is None else (rows, columns)
    file = read_file(Path(path), tensor, shape)
    if len(file.packed) == 1:
        [stored] = file.packed
        return find_of_one(stored if shape is None else stored._replace(shapes=[shape]))
    if shape is not None:
        raise ValueError(f"rows and columns are those of one of {len(file.packed)}")
    return find_of_all(file)


def find_of_one(stored: Stored) -> Found:
    """The layout of a tensor, by the likeliest of its shapes."""
    tried = {shape: try_all(stored, shape) for shape in stored.shapes}
    shape = max(tried, key=lambda shape: tried[shape][0][1:3])
    verdict = judge(tried[shape], stored.data.size)
    return Found([stored.name], shape, tried[shape], verdict)


def find_of_all(file: File) -> Found:
    """The one layout of several tensors, and the order of the rows of q and k."""
    packed = of_some_layers(file.packed)
    tried = [find_of_one(stored) for stored in progress(packed, "trying layouts")]
    guesses = pool([found.guesses for found in tried])
    verdict = judge(guesses, sum(stored.data.size for stored in packed))
    found = Found([stored.name for stored in packed], None, guesses, verdict)
    if file.config is None or not verdict.layouts:
        return found
    pairs = read_pairs(file.packed, verdict.layouts[0], file.config)
    evidence = weigh(pairs, file.config)
    return found._replace(order=choose(evidence), evidence=evidence)


def of_some_layers(packed: Sequence[Stored]) -> list[Stored]:
    """The tensors of the first, the last and a few other layers."""
    layers = sorted({_layer(stored.name) for stored in packed})
    chosen = np.linspace(0, len(layers) - 1, min(LAYERS, len(layers)))
    wanted = {layers[round(n)] for n in chosen}
    return [stored for stored in packed if _layer(stored.name) in wanted]


def _layer(name: str) -> int:
    """The layer of a tensor; -1 if it is in none."""
    parts = name.split(".")
    number = parts[2] if len(parts) > 2 else ""
    return int(number) if number.isdecimal() and len(number) < 6 else -1


def try_all(stored: Stored, shape: tuple[int, int]) -> list[Guess]:
    """Every layout of a tensor of that shape."""
    (M, N), size = shape, stored.data.size
    why = f"{size} bytes are no matrix of {M} x {N}"
    for kind, width in {"bytes": 1, "16-bit numbers": 2, "32-bit numbers": 4}.items():
        if M * N * width == size:
            why = f"as many bytes as {M} x {N} {kind}, one for each weight: not packed"
            return [Guess(name, False, 0.0, why) for name in READINGS]
    if not 0 < M * N <= 16 * size:  # what would be a large array
        return [Guess(name, False, 0.0, why) for name in READINGS]
    inputs = stored.inputs if _fits(stored.inputs, N) else None
    outputs = stored.outputs if _fits(stored.outputs, M) else None
    return detect(stored.data, M, N, inputs, outputs)


def _fits(values: F32 | None, size: int) -> bool:
    """Whether there is a number for each."""
    return values is not None and values.shape == (size,)
