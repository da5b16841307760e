"""The forms of a checkpoint: what is written for each array of a model.

An array is a ternary matrix or a row of floats. What a file has in its place depends on
the form:

packed
    the codes as `minibitnet.packing` lays them out, the scale beside them
masters
    codes times scale, in bfloat16; a master that has not been quantized yet, as it is
gguf
    the codes in a layout of `minibitnet.formats`, the scale inside

Notes
-----
The codes are the same in every form, bit for bit. The floats are kept to this
precision:

========================  =========================================================
packed, masters           embedding, head, gains: as they are. bfloat16 where that is
                          exact, else as they are stored; nothing is rounded
packed                    scales, too
masters                   scales become bfloat16, and so does what comes back
gguf                      gains float32, embedding and head as they are
I2_S                      scales float32
TQ1_0, TQ2_0              scales float16; a matrix of zeros keeps none
========================  =========================================================

Whatever is rounded is counted (`Rounded`), so that it can be said.

A matrix is quantized once, when it is a master in full precision. What is ternary
already keeps its codes and its scale: the mean of their magnitudes is no longer gamma
(`minibitnet.absmean`).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minibitnet import bf16
from minibitnet.arrays import F16, F32, U8, U16
from minibitnet.checkpoint.take import Matrix, read_finite, refuse
from minibitnet.files.progress import progress
from minibitnet.formats import LAYOUTS, i2_s, tq1_0, tq2_0
from minibitnet.kernels.memory import let_go
from minibitnet.packing import CODES_PER_BYTE, unpack
from minibitnet.weights import EMBEDDING, HEAD, gguf_name

Floats = U16 | F16 | F32
Taken = Mapping[str, Matrix | Floats]  # the arrays of a model, by name
PIECE = 2**22  # numbers that are looked at or written at once
DTYPES = {"uint16": "BF16", "float16": "F16", "float32": "F32"}
PACK = {"I2_S": i2_s.pack, "TQ1_0": tq1_0.pack, "TQ2_0": tq2_0.pack}
HALVES = ("TQ1_0", "TQ2_0")  # whose scales are float16
Rounded = Counter[str]  # how often something was rounded, by what


class Entry(NamedTuple):
    """What a file has under a name."""

    type: str  # of safetensors or of GGUF
    shape: tuple[int, ...]
    pieces: Callable[[], Iterable[NDArray[Any]]]  # its numbers, one after another


def packed_entries(taken: Taken) -> Iterator[tuple[str, Entry]]:
    """A packed checkpoint. Masters are quantized here, to know their scales."""
    for name, array in progress(taken.items(), "looking"):
        if not isinstance(array, Matrix):
            yield name, float_entry(array)
            continue
        M, N = array.shape
        R = -(-M // CODES_PER_BYTE)
        yield name, Entry("U8", (R, N), partial(packed_piece, array))
        scale = array.read()[1] if array.scale is None else array.scale
        let_go_of(array)
        yield f"{name}_scale", float_entry(np.array([scale], np.float32))


def packed_piece(matrix: Matrix) -> Iterator[U8]:
    """The packed codes of a matrix."""
    yield matrix.read()[0]
    let_go_of(matrix)


def let_go_of(matrix: Matrix) -> None:
    """Free what has been read of a matrix, if it lies in the file as it is used."""
    if matrix.tensor.type == matrix.tensor.dtype:
        let_go(matrix.tensor.array)


def master_entries(taken: Taken, rounded: Rounded) -> Iterator[tuple[str, Entry]]:
    """A checkpoint of masters."""
    for name, array in progress(taken.items(), "looking"):
        if not isinstance(array, Matrix):
            yield name, float_entry(array)
        elif array.scale is None:
            read_finite(array.tensor)
            yield name, float_entry(array.tensor.array)
            let_go_of(array)
        else:
            bits = bf16.narrow(np.array([array.scale], np.float32))
            rounded["scales are rounded to bfloat16, by one part in 512 at most"] += (
                bf16.widen(bits)[0] != array.scale
            )
            yield name, Entry("BF16", array.shape, partial(times, array, bits))


def times(matrix: Matrix, bits: U16) -> list[U16]:
    """Codes times scale in bfloat16: bits (1,) -> master [(M, N)]."""
    codes = unpack(matrix.read()[0], matrix.shape[0])
    let_go_of(matrix)
    scale = bf16.widen(bits)[0]
    values = bf16.narrow(np.array([-scale, 0, scale], np.float32))
    return [np.take(values, codes + np.int8(1))]


def gguf_entries(
    taken: Taken, type_: str, rounded: Rounded, half: bool = False
) -> Iterator[tuple[str, Entry]]:
    """A GGUF file with matrices of one type; if `half`, an embedding of float16.

    Raises CheckpointError if a matrix does not fit into the blocks of the type.
    """
    for name, array in taken.items():
        if isinstance(array, Matrix):
            check_rows(array, type_)
            pieces = partial(pack_into, array, type_, rounded)
            entry = Entry(type_, array.shape, pieces)
        elif name not in (EMBEDDING, HEAD):
            entry = Entry("F32", array.shape, partial(widened, array))
        elif half:
            entry = Entry("F16", array.shape, partial(halved, name, array, rounded))
        else:
            entry = Entry(dtype_of(array), array.shape, partial(pieces_of, array))
        yield gguf_name(name), entry


def check_rows(matrix: Matrix, type_: str) -> None:
    """Refuse rows that are no whole number of a layout's blocks."""
    _, N = matrix.shape
    _, block = LAYOUTS[type_.lower()].multiples
    if N % block:
        refuse(matrix.tensor, f"for {type_} rows of a multiple of {block} weights", N)


def pack_into(matrix: Matrix, type_: str, rounded: Rounded) -> list[U8]:
    """The bytes of a matrix in a GGUF file."""
    packed, scale = matrix.read()
    codes = unpack(packed, matrix.shape[0])
    let_go_of(matrix)
    if type_ in HALVES:
        count_half(matrix, scale, bool(codes.any()), rounded)
    return [PACK[type_](codes, float(scale))]


def count_half(
    matrix: Matrix, scale: np.float32, is_used: bool, rounded: Rounded
) -> None:
    """Note what becomes of a scale in float16, or refuse to lose it."""
    if not is_used:
        rounded["matrices are all zeros, and their scales are not kept"] += 1
        return
    with np.errstate(over="ignore", under="ignore"):
        half = np.float16(scale)
    if not np.finfo(np.float16).tiny <= half < np.inf:
        refuse(matrix.tensor, "a scale that float16 has", scale)
    rounded["scales are rounded to float16, by one part in 2048 at most"] += (
        np.float32(half) != scale
    )


def float_entry(array: Floats) -> Entry:
    """Floats in a safetensors file: bfloat16 where that is exact, else as they are.

    array (...)
    """
    dtype = "BF16" if all(map(is_bf16, pieces_of(array))) else dtype_of(array)
    convert = as_bf16 if dtype == "BF16" else np.asarray
    return Entry(dtype, array.shape, lambda: map(convert, pieces_of(array)))


def dtype_of(array: Floats) -> str:
    """What safetensors and GGUF call the numbers of an array.

    array (...)
    """
    return DTYPES[array.dtype.name]


def pieces_of(array: Floats) -> Iterator[Floats]:
    """Some rows of an array after others, each let go when the next is asked for.

    array (...)
    """
    step = max(1, PIECE // max(1, array[:1].size))
    for start in range(0, len(array), step):
        piece = array[start : start + step]
        yield piece
        let_go(piece)


def is_bf16(piece: Floats) -> bool:
    """Whether numbers can be bfloat16 exactly.

    piece (...)
    """
    if piece.dtype == np.uint16:
        return True
    values = np.ascontiguousarray(bf16.widen(piece))
    lower = values.view(np.uint32) & np.uint32(0xFFFF)
    return not lower.any() and bool(np.isfinite(values).all())


def as_bf16(piece: Floats) -> U16:
    """Numbers as bfloat16.

    piece (...) -> bits (...)
    """
    if piece.dtype == np.uint16:
        return np.asarray(piece, np.uint16)
    return bf16.narrow(bf16.widen(piece))


def widened(array: Floats) -> Iterator[F32]:
    """Numbers as float32, piece by piece.

    array (...)
    """
    return map(bf16.widen, pieces_of(array))


def halved(name: str, array: Floats, rounded: Rounded) -> Iterator[F16]:
    """Numbers as float16, piece by piece; a ValueError if one is too large.

    array (...)
    """
    for piece in pieces_of(array):
        values = bf16.widen(piece)
        with np.errstate(over="ignore", under="ignore"):
            halves = values.astype(np.float16)
        if not np.isfinite(halves).all():
            raise ValueError(f"{name}: expected numbers that float16 has")
        rounded["numbers of the embedding are rounded to float16"] += int(
            np.count_nonzero(bf16.widen(halves) != values)
        )
        yield halves
