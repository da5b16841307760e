"""Exercises of notebook 11, how a file becomes a model."""

import json

import numpy as np
from numpy.typing import NDArray

from minibitnet import bf16
from minibitnet.course.exercise import Exercise

Bytes = NDArray[np.uint8]


def make_file(shape: tuple[int, int], seed: int) -> Bytes:
    """A safetensors file with one bfloat16 matrix, named ``a``.

    Parameters
    ----------
    shape : tuple of int
        Of the matrix.
    seed : int
        Where chance comes from.

    Returns
    -------
    content : ndarray of shape (n,), uint8
        Its bytes.
    """
    rng = np.random.default_rng(seed)
    loudness = 10.0 ** rng.integers(
        -9, 10, (shape[0], 1)
    )  # float16 is too small for it
    values = (rng.standard_normal(shape) * loudness).astype(np.float32)
    data = bf16.narrow(values).tobytes()
    entry = {"dtype": "BF16", "shape": shape, "data_offsets": [0, len(data)]}
    page = json.dumps({"a": entry}).encode()
    page += b" " * (-len(page) % 8)
    content = len(page).to_bytes(8, "little") + page + data
    return np.frombuffer(content, np.uint8)


def _data(content: Bytes) -> tuple[Bytes, list[int]]:
    length = int.from_bytes(content[:8].tobytes(), "little")
    page = json.loads(content[8 : 8 + length].tobytes())
    return content[8 + length :], page["a"]["shape"]


def matrix(content: Bytes) -> NDArray[np.float32]:
    """The right answer to `check_matrix`."""
    data, shape = _data(content)
    return bf16.widen(data.view(np.uint16)).reshape(shape)


def matrix_as_float16(content: Bytes) -> NDArray[np.float32]:
    """The bits taken for float16."""
    data, shape = _data(content)
    with np.errstate(all="ignore"):
        return data.view(np.float16).astype(np.float32).reshape(shape)


def matrix_of_bits(content: Bytes) -> NDArray[np.float32]:
    """The bits taken for whole numbers."""
    data, shape = _data(content)
    return data.view(np.uint16).astype(np.float32).reshape(shape)


def matrix_from_header(content: Bytes) -> NDArray[np.float32]:
    """The eight bytes in front forgotten."""
    _, shape = _data(content)
    length = int.from_bytes(content[:8].tobytes(), "little")
    size = 2 * shape[0] * shape[1]
    data = content[length : length + size].copy()
    return bf16.widen(data.view(np.uint16)).reshape(shape)


def matrix_from_start(content: Bytes) -> NDArray[np.float32]:
    """Offsets counted from the start of the file."""
    _, shape = _data(content)
    data = content[: 2 * shape[0] * shape[1]].copy()
    return bf16.widen(data.view(np.uint16)).reshape(shape)


def matrix_of_swapped_bytes(content: Bytes) -> NDArray[np.float32]:
    """The higher byte taken for the first."""
    data, shape = _data(content)
    return bf16.widen(data.view(np.uint16).byteswap()).reshape(shape)


def matrix_in_lower_half(content: Bytes) -> NDArray[np.float32]:
    """Widened without a shift."""
    data, shape = _data(content)
    return data.view(np.uint16).astype(np.uint32).view(np.float32).reshape(shape)


def matrix_transposed(content: Bytes) -> NDArray[np.float32]:
    """Columns for rows."""
    data, shape = _data(content)
    return bf16.widen(data.view(np.uint16)).reshape(shape[::-1]).T


check_output = Exercise(
    right=6.0,
    mistakes={
        "You divided. For autobitlinear, which 2B4T is, the stored scale multiplies."
        "": 1.5,
        "You multiplied by it twice.": 12.0,
        "That is the sum without the scale of the weights.": 3.0,
    },
)
check_matrix = Exercise(
    right=matrix,
    mistakes={
        "You read bfloat16 as float16: the same 16 bits, but five of them exponent in "
        "place of eight.": matrix_as_float16,
        "You read the bits as whole numbers. Widen them: shift left by 16 and view as "
        "float32.": matrix_of_bits,
        "You have the two bytes of a number the wrong way round. The lower one is "
        "first.": matrix_of_swapped_bytes,
        "Your 16 bits are the lower half of the float32. They are the upper one: shift "
        "left by 16.": matrix_in_lower_half,
        "Your data begin 8 bytes too early: the length stands in front of the header "
        "and does not count itself.": matrix_from_header,
        "You read from the start of the file. Offsets count from the end of the header."
        "": matrix_from_start,
        "You filled the matrix column by column. It lies row by row."
        "": matrix_transposed,
    },
    # Headers of 72 bytes, once without a space at their end, and of 80
    cases=[
        (make_file(shape, seed),)
        for seed, shape in enumerate([(2, 3), (3, 5), (4, 4), (10, 500), (100, 100)])
    ],
)
