r"""Traces: every array of a forward pass, in a file.

A port is right where its arrays are. So it writes down what it computed, every array
under its stage name, and another program reads it and compares. Two forms: a directory
of ``.npy`` files for NumPy, and one stream of bytes that any language can write with a
``printf`` and an ``fwrite``.

Notes
-----
The first axis of every array is tokens: the rows of all tokens of the text in order,
whether they were read at once, in pieces or one at a time (the contract makes them the
same numbers). `attn_weights`, whose first axis is heads, is left out. `ids` comes
first, the token ids that were read.

::

    directory   ids.npy, embed.npy, layers.0.attn_norm.npy, ...; trace.json says
                {"contract": 2, "model": ..., "program": ...} and may be missing
    .npz        the same arrays in one file
    .trace      for each array a line "NAME DTYPE DIM DIM ...\n" and then its bytes,
                little-endian, nothing between; a name that comes again has more rows

Examples
--------
Two tokens, the second read later: its row comes under the same name.

>>> import io
>>> raw = b"ids int64 1\n" + np.int64([7]).tobytes()
>>> raw += b"q.acc int32 1 2\n" + np.int32([[1, 2]]).tobytes()
>>> raw += b"ids int64 1\n" + np.int64([9]).tobytes()
>>> raw += b"q.acc int32 1 2\n" + np.int32([[3, 4]]).tobytes()
>>> read_stream(io.BytesIO(raw))
{'ids': array([7, 9]), 'q.acc': array([[1, 2],
       [3, 4]], dtype=int32)}
"""

import math
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

import minibitnet
from minibitnet.arrays import I64
from minibitnet.cache import KVCache
from minibitnet.files.writing import new_directory, new_file, write_json
from minibitnet.golden.hashes import little_endian
from minibitnet.golden.names import CONTRACT
from minibitnet.model import Model, check_ids, forward
from minibitnet.stages import trace

Array = NDArray[Any]
STREAMED = ("int8", "uint8", "int32", "int64", "float32")  # dtypes of a .trace
LEFT_OUT = "attn_weights"
LONGEST_LINE = 1000  # bytes of the line before an array
NAME = re.compile(r"[A-Za-z0-9_.-]{1,200}")


def record(
    model: Model, ids: Sequence[int] | I64, pieces: Sequence[int] | None = None
) -> dict[str, Array]:
    """Every stage of these tokens, read in pieces of so many tokens, or at once.

    Raises ValueError if the pieces are not as many tokens together.
    """
    ids = check_ids(ids, model.config, None)
    pieces = [len(ids)] if pieces is None else pieces
    if sum(pieces) != len(ids):
        raise ValueError(f"pieces must be {len(ids)} tokens together, got {pieces}")
    cache = KVCache(model.config, len(ids))
    parts: list[tuple[str, Array]] = []
    for end, size in zip(np.cumsum(pieces), pieces, strict=True):
        with trace() as stages:
            forward(model, ids[end - size : end], cache)
        parts += [part for part in stages.items() if not part[0].endswith(LEFT_OUT)]
    return join(parts, "trace")


def join(parts: Sequence[tuple[str, Array]], where: str) -> dict[str, Array]:
    """Rows of one name laid end to end."""
    joined: dict[str, list[Array]] = {}
    for name, array in parts:
        first = joined.setdefault(name, [array])[0]
        if (array.dtype, array.shape[1:]) != (first.dtype, first.shape[1:]):
            raise ValueError(
                f"{where}: {name}: expected more rows of {first.dtype} "
                f"{first.shape[1:]}, found {array.dtype} {array.shape[1:]}"
            )
        if array is not first:
            joined[name].append(array)
    return {
        name: np.concatenate(arrays) if len(arrays) > 1 else arrays[0]
        for name, arrays in joined.items()
    }


def write_trace(
    path: str | Path,
    stages: Mapping[str, Array],
    ids: Sequence[int] | NDArray[np.integer[Any]],
    model: str = "",
) -> None:
    """Write a trace: a stream if the name ends in .trace, an .npz, or a directory.

    Parameters
    ----------
    path : str or Path
        Where to; a directory must be new or empty.
    stages : mapping
        From name to array; the rows of each are the tokens.
    ids : sequence or ndarray of shape (T,), int
        The token ids.
    model : str
        What ``trace.json`` of a directory says of the model.

    Raises
    ------
    ValueError
        If an array has not a row for each token, or there are files in the directory.
    """
    path = Path(path)
    arrays = {"ids": np.asarray(ids, "<i8")}
    for name, array in stages.items():
        if not name.endswith(LEFT_OUT):
            arrays[name] = check_rows(name, array, len(ids))
    if path.suffix in (".trace", ".npz"):
        write_file(path, arrays)
    else:
        write_directory(path, arrays, model)


def write_file(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write a stream or an .npz; it appears under its name when it is whole."""
    with new_file(path) as part, part.open("wb") as stream:
        if path.suffix == ".npz":
            np.savez(stream, **arrays)  # type: ignore[arg-type]  # one is a bool
            return
        for name, array in arrays.items():
            stream.write(f"{name} {array.dtype} {dims(array)}\n".encode())
            stream.write(array.data)


def check_rows(name: str, array: Array, T: int) -> Array:
    """The array as it is written, if it has a row for each token."""
    if array.ndim == 0 or len(array) != T:
        raise ValueError(
            f"{name} must have {T} rows, one for each id, got shape {array.shape}"
        )
    return little_endian(array)


def write_directory(path: Path, arrays: Mapping[str, Array], model: str) -> None:
    """Write an .npy for each array, and what they are."""
    program = f"minibitnet {minibitnet.__version__}"
    content = {"contract": CONTRACT, "model": model, "program": program}
    with new_directory(path) as part:
        for name, array in arrays.items():
            np.save(part / f"{name}.npy", array, allow_pickle=False)
        write_json(part / "trace.json", content)


def dims(array: Array) -> str:
    """The shape as the line of a stream has it.

    array (...)
    """
    return " ".join(map(str, array.shape))


def read_trace(path: str | Path) -> dict[str, Array]:
    """All arrays of a trace by name, `ids` among them where the trace has it.

    Parameters
    ----------
    path : str or Path
        A directory of .npy files, an .npz, or a stream, whose name ends in .trace.

    Returns
    -------
    stages : dict
        From name to array.

    Raises
    ------
    ValueError
        If it is none of these, is damaged, or holds what is not an array of numbers.
    """
    stages = read_arrays(Path(path))
    if not stages:
        raise ValueError(f"{path}: expected a trace, found no arrays")
    for name, array in stages.items():
        good = array.dtype.kind in "iuf" and array.ndim > 0
        if not good or not NAME.fullmatch(name):
            raise ValueError(
                f"{path}: expected rows of numbers, each with the name of a stage, "
                f"found {array.dtype} {array.shape} {ascii(name):.80}"
            )
    return {
        name: array.astype(array.dtype.newbyteorder("="), copy=False)
        for name, array in stages.items()
    }


def read_arrays(path: Path) -> dict[str, Array]:
    """Whatever arrays are in one of the three forms."""
    if path.is_dir():
        return {file.stem: load(file) for file in sorted(path.glob("*.npy"))}
    if not path.is_file():
        raise ValueError(f"{path}: expected a trace, found no such file")
    if path.suffix == ".npz":
        return dict(load(path))
    if path.suffix == ".trace":
        with path.open("rb") as stream:
            return read_stream(stream, str(path))
    raise ValueError(
        f"{path}: expected a directory, .npz or .trace, found {path.suffix!r}"
    )


def load(file: Path) -> Any:
    """What an .npy (an array) or .npz (a dict of them) holds."""
    if not file.is_file():  # reading a pipe would block
        raise ValueError(f"{file}: expected a file, found something else")
    try:
        with file.open("rb") as stream:
            loaded = np.load(stream, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else dict(loaded)
    except (ValueError, EOFError, zipfile.BadZipFile, MemoryError) as error:
        found = " ".join(str(error).split())
        raise ValueError(
            f"{file}: expected a whole {file.suffix}, found {found:.80}"
        ) from None


def read_stream(stream: BinaryIO, where: str = "stream") -> dict[str, Array]:
    """The arrays of a stream."""
    return join(list(read_parts(stream, where)), where)


def read_parts(stream: BinaryIO, where: str) -> Iterator[tuple[str, Array]]:
    """One array of a stream after another."""
    while line := stream.readline(LONGEST_LINE):
        words = line.decode("ascii", "replace").split()
        good = line.endswith(b"\n") and len(words) >= 3 and words[1] in STREAMED
        if not good or not all(word.isdecimal() for word in words[2:]):
            raise ValueError(
                f"{where}: expected a line NAME DTYPE DIM ... with a dtype of "
                f"{', '.join(STREAMED)}, found {line[:80]!r}"
            )
        name, dtype = words[0], np.dtype(words[1]).newbyteorder("<")
        shape = [int(word) for word in words[2:]]
        size = math.prod(shape) * dtype.itemsize
        raw = read_bytes(stream, size)
        if len(raw) != size:
            raise ValueError(
                f"{where}: {name}: expected {size} bytes, found {len(raw)}"
            )
        yield name, np.frombuffer(raw, dtype).reshape(shape)


def read_bytes(stream: BinaryIO, size: int) -> bytes:
    """So many bytes, or what there is; a false size allocates no more than that."""
    pieces = []
    while size and (piece := stream.read(min(size, 2**24))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)
