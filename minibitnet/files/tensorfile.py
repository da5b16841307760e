"""A safetensors file: a header that lists arrays, then their bytes.

The format is eight bytes, a page of JSON and the arrays end to end. The JSON gives each
array a name, a dtype, a shape and where its bytes begin and end. Nothing is compressed
or encoded, so reading an array is pointing into the file: the file is mapped, and the
system brings in a page of it when somebody looks there.

Notes
-----
::

    8 bytes     n, the length of the header, little-endian
    n bytes     {"name": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}, ...}
    the rest    the arrays; offsets count from here

The header is checked before it is believed (`minibitnet.files.tensorheader`). The
safetensors library has no bfloat16 for NumPy, so the arrays are mapped here, a bfloat16
as uint16 (see `minibitnet.bf16`).

References
----------
https://github.com/huggingface/safetensors#format

Examples
--------
Arrays are written the widest dtype first, then by name, as the library writes them.

>>> header(
...     {"b": Spec("U8", (3,)), "a": Spec("U8", (1,)), "c": Spec("BF16", (2, 1))}
... )[8:].decode().rstrip()
'{"__metadata__":{"format":"pt"},\
"c":{"dtype":"BF16","shape":[2,1],"data_offsets":[0,4]},\
"a":{"dtype":"U8","shape":[1],"data_offsets":[4,5]},\
"b":{"dtype":"U8","shape":[3],"data_offsets":[5,8]}}'
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minibitnet.files.jsonfile import CheckpointError, read_json, regular_file
from minibitnet.files.tensorheader import STORED, Spec, check_listing, read_header

WEIGHTS = "model.safetensors"  # the file of a checkpoint
INDEX = "model.safetensors.index.json"  # or of its several files
LARGEST_INDEX = 2**24  # bytes: some hundred thousand arrays
FILE_NAME = re.compile(r"[\w-][\w. -]{,200}\.safetensors")  # no folder in it


def spec_of(array: NDArray[Any]) -> Spec:
    """What the header will say of an array.

    array (...)
    """
    names = {np.dtype(kind): name for name, kind in STORED.items()}
    return Spec(names[array.dtype], array.shape)


class Tensor(NamedTuple):
    """An array in a file: what it is, and how to come by its numbers."""

    file: Path
    name: str
    dtype: str  # as safetensors names it
    shape: tuple[int, ...]
    nbytes: int  # in the file
    read: Callable[[], NDArray[Any]]
    type: str  # what the file itself calls its kind: the dtype, or a layout of GGUF

    @property
    def array(self) -> NDArray[Any]:
        """Its numbers: mapped, so that looking at them reads the file, or made now."""
        return self.read()


def mapped(file: Path, name: str, dtype: str, array: NDArray[Any]) -> Tensor:
    """A tensor whose bytes lie in the file as they are used.

    array (...)
    """
    return Tensor(file, name, dtype, array.shape, array.nbytes, lambda: array, dtype)


def read_tensors(file: Path) -> dict[str, Tensor]:
    """All arrays of a safetensors file, mapped.

    Raises
    ------
    CheckpointError
        If the file cannot be read, is damaged, or holds a dtype that no weights here
        have.
    """
    listing, data = _map_file(file)
    tensors = {}
    for name, entry in listing.items():
        dtype, (begin, end) = entry["dtype"], entry["data_offsets"]
        if dtype not in STORED:
            raise CheckpointError(
                f"{file}: {name}: expected dtype {', '.join(STORED)}, found {dtype}"
            )
        array = data[begin:end].view(STORED[dtype]).reshape(entry["shape"])
        tensors[name] = mapped(file, name, dtype, array)
    return tensors


def read_index(index: Path) -> dict[str, str]:
    """In which file each array is; files lie beside the index, nowhere else.

    Raises a CheckpointError if the index is damaged.
    """
    places = read_json(index, LARGEST_INDEX).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CheckpointError(f"{index}: weight_map: expected names, found {places!r}")
    for name, file in places.items():
        if not isinstance(file, str) or not FILE_NAME.fullmatch(file):
            raise CheckpointError(
                f"{index}: {name}: expected a file NAME.safetensors, found {file!r}"
            )
    return places


def _map_file(file: Path) -> tuple[dict[str, Any], NDArray[np.uint8]]:
    """The header, which has been checked against the file, and the bytes behind it."""
    regular_file(file)
    try:
        length, listing = read_header(file)
        # asarray: the map as a plain array
        data = np.asarray(np.memmap(file, np.uint8, mode="r"))[8 + length :]
        check_listing(listing, data.size)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{file}: expected a whole safetensors file, found {error}"
        ) from None
    except OSError as error:
        raise CheckpointError(f"{file}: {error.strerror or error}") from None
    listing.pop("__metadata__", None)
    return listing, data


def header(specs: Mapping[str, Spec]) -> bytes:
    """The first bytes of a file with these arrays: the header and its length."""
    listing: dict[str, object] = {"__metadata__": {"format": "pt"}}
    begin = 0
    for name in in_file_order(specs):
        spec = specs[name]
        listing[name] = {
            "dtype": spec.dtype,
            "shape": spec.shape,
            "data_offsets": (begin, begin + spec.nbytes),
        }
        begin += spec.nbytes
    text = json.dumps(listing, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def in_file_order(specs: Mapping[str, Spec]) -> list[str]:
    """The names in the order of their bytes."""
    width = {
        name: np.dtype(STORED[spec.dtype]).itemsize for name, spec in specs.items()
    }
    return sorted(specs, key=lambda name: (-width[name], name))


def write_tensors(
    file: Path,
    specs: Mapping[str, Spec],
    make: Callable[[str], Iterable[NDArray[Any]]],
) -> None:
    """Write a safetensors file, one array after another.

    Raises
    ------
    ValueError
        If the pieces of an array are not as many bytes as its spec says.
    """
    with file.open("wb") as stream:
        stream.write(header(specs))
        for name in in_file_order(specs):
            write_pieces(stream, name, make(name), specs[name].nbytes)


def write_pieces(
    stream: BinaryIO, name: str, pieces: Iterable[NDArray[Any]], size: int
) -> None:
    """Write an array piece by piece; a ValueError if it is not of that many bytes."""
    written = 0
    for piece in pieces:
        written += stream.write(np.ascontiguousarray(piece).data)
    if written != size:
        raise ValueError(f"{name} must be {size} bytes, got {written}")
