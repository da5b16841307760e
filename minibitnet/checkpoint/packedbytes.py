"""The bytes of packed tensors, from whatever file they are in.

To find out how weights are packed, one needs them as they are: bytes, a shape, and what
else a file knows. A safetensors file gives the shape of its array of bytes, which holds
four rows of the matrix in one of its own, or four columns; with config.json the matrix
is known by its name. A GGUF file gives the matrix's own shape. A file of bytes gives
nothing.

Notes
-----
The gains of norms are not packed. They say of each input of a matrix (the norm before
it) and of each output (the norm behind it) how much it matters, in the true order.

Examples
--------
>>> from minibitnet.stories import BUILT_IN
>>> stored = read_file(BUILT_IN, "model.layers.0.mlp.up_proj.weight").packed[0]
>>> stored.data.shape, stored.shapes, stored.inputs.shape, stored.outputs.shape
((44032,), [(688, 256)], (256,), (688,))
"""

import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minibitnet.arrays import F32, U8
from minibitnet.bf16 import widen
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.checkpoint.fromgguf import STORED, TERNARY, hub_name
from minibitnet.checkpoint.ggufkeys import config_content
from minibitnet.checkpoint.open import LARGEST_CONFIG
from minibitnet.config import Config
from minibitnet.files.gguf import SUFFIX, read_gguf
from minibitnet.files.jsonfile import (
    CheckpointError,
    CheckpointWarning,
    read_json,
    regular_file,
)
from minibitnet.files.tensorfile import Tensor, read_tensors
from minibitnet.weights import (
    ATTN_NORM,
    ATTN_SUB_NORM,
    FFN_NORM,
    FFN_SUB_NORM,
    matrices,
)

INPUTS = {  # of a matrix, the norm before it
    **dict.fromkeys(("q_proj", "k_proj", "v_proj"), ATTN_NORM),
    **dict.fromkeys(("gate_proj", "up_proj"), FFN_NORM),
    "o_proj": ATTN_SUB_NORM,
    "down_proj": FFN_SUB_NORM,
}
OUTPUTS = {  # and the one behind it, where that has a gain for each of its rows
    **dict.fromkeys(("gate_proj", "up_proj"), FFN_SUB_NORM),
    "o_proj": FFN_NORM,
    "down_proj": FFN_NORM,  # another one of the same stream
}


class Stored(NamedTuple):
    """The bytes of a tensor, and what is known of it."""

    name: str
    data: U8  # (n,)
    shapes: Sequence[tuple[int, int]]  # rows and columns; those it may have
    inputs: F32 | None = None  # (N,) for each column
    outputs: F32 | None = None  # (M,)


class File(NamedTuple):
    """What a file holds."""

    packed: Sequence[Stored]
    config: Config | None = None


def read_file(
    path: Path, tensor: str | None = None, shape: tuple[int, int] | None = None
) -> File:
    """The packed tensors of a file, or the one of that name.

    Raises
    ------
    CheckpointError
        If the file cannot be read or is damaged, does not say what it must, or holds no
        such tensor.
    """
    if path.is_dir() or path.suffix == ".safetensors":
        file = read_safetensors(path)
    elif path.suffix == SUFFIX:
        file = read_ternary(path)
    elif path.suffix == ".npy":
        file = File([read_array(path, shape)])
    else:
        file = File([read_bytes(path, shape)])
    wanted = tensor and (hub_name(tensor) or tensor)  # a GGUF file's name will do, too
    named = [stored for stored in file.packed if wanted in (None, stored.name)]
    if not named:
        known = ", ".join(stored.name for stored in file.packed[:2]) or "none"
        what = "packed tensors" if tensor is None else f"a packed tensor {tensor}"
        raise CheckpointError(f"{path}: expected {what}, found {known}")
    return file._replace(packed=named)


def read_bytes(path: Path, shape: tuple[int, int] | None) -> Stored:
    """A file of bytes alone."""
    regular_file(path)
    if shape is None:
        raise CheckpointError(
            f"{path}: expected --rows and --columns with a file of bytes, found none"
        )
    empty = np.zeros(0, np.uint8)  # which cannot be mapped
    data = np.memmap(path, np.uint8, "r") if path.stat().st_size else empty
    return Stored(path.name, np.asarray(data), [shape])


def read_array(path: Path, shape: tuple[int, int] | None) -> Stored:
    """A NumPy file of bytes."""
    regular_file(path)
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # of NumPy's parser, whatever it meets
        raise CheckpointError(
            f"{path}: expected a NumPy array, found {error}"
        ) from None
    if array.dtype not in (np.uint8, np.int8):
        raise CheckpointError(f"{path}: expected packed bytes, found {array.dtype}")
    if array.dtype == np.int8 and array.any() and np.isin(array, (-1, 0, 1)).all():
        raise CheckpointError(
            f"{path}: expected packed bytes, found codes, a byte for each"
        )
    shapes = [shape] if shape else _of_container(array.shape)
    if not shapes:
        raise CheckpointError(
            f"{path}: expected two axes, or --rows and --columns, found {array.shape}"
        )
    return Stored(path.name, np.asarray(array).reshape(-1).view(np.uint8), shapes)


def _of_container(shape: Sequence[int]) -> list[tuple[int, int]]:
    """Which matrix an array of bytes may be: four rows in one, or four columns."""
    if len(shape) != 2:
        return []
    a, b = shape
    return [(4 * a, b), (a, 4 * b)]


def read_safetensors(path: Path) -> File:
    """The bytes of a safetensors file or of all of a directory, and its config."""
    files = sorted(path.glob("*.safetensors")) if path.is_dir() else [path]
    if not files:
        return read_ternary(_only_gguf(path))
    tensors: dict[str, Tensor] = {}
    for file in files:
        tensors |= read_tensors(file)
    where = (path if path.is_dir() else path.parent) / "config.json"
    config = None
    if where.exists():
        config = config_of(lambda: read_json(where, LARGEST_CONFIG), where)
    sizes = matrices(config) if config else {}
    packed = []
    for name, tensor in tensors.items():
        if tensor.dtype == "U8":
            known = sizes.get(name.split(".", 3)[-1].removesuffix(".weight"))
            shapes = [known] if known else _of_container(tensor.array.shape)
            packed.append(Stored(name, tensor.array.reshape(-1), shapes))
    gains = {name: tensor.array for name, tensor in tensors.items()}
    return File(with_gains([s for s in packed if s.shapes], gains), config)


def _only_gguf(directory: Path) -> Path:
    """The GGUF file of a directory that has no other weights."""
    files = sorted(directory.glob(f"*{SUFFIX}"))
    if len(files) != 1:
        expected = f"NAME.safetensors, or one file NAME{SUFFIX}"
        raise CheckpointError(f"{directory}: expected {expected}, found {len(files)}")
    return files[0]


def read_ternary(path: Path) -> File:
    """The ternary tensors of a GGUF file, and its config."""
    gguf = read_gguf(path)
    packed, gains = [], {}
    for tensor in gguf.tensors.values():
        name = hub_name(tensor.name) or tensor.name
        if tensor.type in TERNARY and len(tensor.shape) == 2:
            M, N = tensor.shape
            packed.append(Stored(name, tensor.data, [(M, N)]))
        elif tensor.type in STORED and len(tensor.shape) == 1:
            gains[name] = tensor.data.view(STORED[tensor.type])
    config = config_of(lambda: config_content(gguf), path)
    return File(with_gains(packed, gains), config)


def config_of(read: Callable[[], dict[str, Any]], where: Path) -> Config | None:
    """What a config says; None, with a warning, of a model that is not known here."""
    try:
        return parse_config(read(), where=str(where))
    except CheckpointError as error:
        warnings.warn(
            CheckpointWarning(f"done without a config: {error}"), stacklevel=2
        )
        return None


def with_gains(
    packed: Iterable[Stored], arrays: Mapping[str, NDArray[Any]]
) -> list[Stored]:
    """Tensors with the gains of the norms before and behind them, where there are."""

    def gain(name: str, norms: Mapping[str, str]) -> F32 | None:
        parts = name.split(".")
        norm = norms.get(parts[-2]) if len(parts) > 3 else None
        array = arrays.get(f"{'.'.join(parts[:3])}.{norm}.weight")
        return None if array is None else widen(array)

    return [
        stored._replace(
            inputs=gain(stored.name, INPUTS), outputs=gain(stored.name, OUTPUTS)
        )
        for stored in packed
    ]
