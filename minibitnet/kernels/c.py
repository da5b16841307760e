"""C: the definition as a plain loop, compiled for the processor that is here.

NumPy is quick where one call does much, and none of its calls takes two bits at a time.
In C the product is written down as it is defined, a loop over columns, and a compiler
makes instructions of it that take up to 64 columns at once: `ternary.c`, a page to be
read beside this one. It unpacks a row of bytes once and multiplies it with all tokens.
The packed bytes are used where they are mapped, so loading takes no time, and one token
takes little longer than reading them. The head is another such loop.

This is the one kernel that needs more than NumPy, a C compiler, and the one that is not
in `minibitnet.kernels.KERNELS`: it is compiled when it is asked for by name, and never
otherwise. Before it is used it is compared with the masks and with the head in NumPy,
and refused if anything differs.

Notes
-----
With u = code + 1, which is what a byte stores (0, 1 or 2)::

    acc = sum of u * x_codes  -  sum of x_codes

The second sum is subtracted first. So at every moment each column has given -x, 0 or x,
and no partial sum is larger than the final one can be: 128 * N.

Processors with VNNI multiply 64 unsigned bytes by 64 signed ones in one instruction and
add up the products as int32. For others the numbers are 16 bits; the file says which.

Logits are summed in float64, each row in 32 sums that are added up in the end: always
in the same order, whatever the processor, so nothing need be proved about the largest.
The product of a float32 and a bfloat16 has 32 bits and is exact.

References
----------
https://en.wikipedia.org/wiki/AVX-512#VNNI

Examples
--------
A byte stores -1, 0 and +1 as 0, 1 and 2. The row asks for 7 + 8; to forget that codes
are stored one too large would give 23.

>>> w_codes, x_codes = np.array([1, -1, 0], np.int8), np.array([7, -8, 9], np.int8)
>>> u = w_codes + 1
>>> int((u * x_codes).sum()) - int(x_codes.sum()), int((u * x_codes).sum())
(15, 23)
"""

import sys
from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from minibitnet import bf16
from minibitnet.arrays import F32, I8, I32, U8
from minibitnet.kernels.head import Head, project
from minibitnet.kernels.masks import masks_matmul
from minibitnet.kernels.threads import split
from minibitnet.matmul import Multiply
from minibitnet.packing import CODES_PER_BYTE

SOURCE = Path(__file__).with_name("ternary.c")
ACTIVATIONS = {1: np.int8, 2: np.int16}  # by their bytes
LINE = 64  # bytes: numbers that are read at once should not lie across two lines
WORTH = 2**23  # multiplications that are worth a thread
HEAD_WORTH = 2**20  # weights of the head that are


class Code(NamedTuple):
    """The functions of `ternary.c`, and the dtype in which it takes activations."""

    ternary: Callable[..., None]
    head: Callable[..., None]
    activation: DTypeLike


def prepare(packed: Sequence[U8], rows: Sequence[int]) -> Multiply:
    """A function that multiplies by these matrices; nothing is laid out anew."""
    code = compiled()
    matrices = [np.ascontiguousarray(p) for p in packed]  # themselves, as a rule

    def multiply(x_codes: I8) -> list[I32]:
        accs = c_matmul(code, x_codes, matrices)
        return [acc[:, :M] for acc, M in zip(accs, rows, strict=True)]

    return multiply


class CHead(Head):
    """The head, of one token by C where it is bfloat16; of several tokens by BLAS."""

    def one(self, x: F32) -> F32:
        """The logits of one token: x (N,) -> logits (M,)."""
        if self.bits.dtype != np.uint16:
            return super().one(x)
        return c_project_one(compiled(), x, np.ascontiguousarray(self.bits))


@cache
def compiled() -> Code:
    """The functions of `ternary.c`, found to be right.

    Raises
    ------
    ValueError
        If there is no compiler, or what it makes computes something else.
    """
    try:
        code = load_code()
    except ValueError as error:
        raise ValueError(f"kernel c: {error}") from None
    if not is_right(code):
        raise ValueError("kernel c: expected the numbers of masks, found others")
    return code


def load_code() -> Code:
    """The functions of `ternary.c`, as the compiler made them."""
    from ctypes import c_int, c_int64, c_void_p

    from minibitnet.kernels.compiler import load_library

    library = load_library(SOURCE)
    try:
        size = c_int.in_dll(library, "activation_bytes").value
        ternary, head, activation = library.ternary, library.head, ACTIVATIONS[size]
    except (AttributeError, KeyError, ValueError):  # made by what is no compiler of C
        what = f"the functions of {SOURCE.name}"
        raise ValueError(f"expected a library with {what}, found another") from None
    for function, counts in ((ternary, 5), (head, 3)):
        function.argtypes = [*3 * [c_void_p], *counts * [c_int64]]
        function.restype = None
    return Code(ternary, head, activation)


def c_matmul(code: Code, x_codes: I8, packed: Sequence[U8]) -> list[I32]:
    """The product with every row that the bytes of each matrix have room for.

    x_codes (T, N) -> accs [(T, M)]
    """
    T, N = x_codes.shape
    if any(p.shape[1] != N for p in packed):
        raise ValueError(f"x_codes must have as many columns as the weights, got {N}")
    x = aligned(x_codes, code.activation)
    accs = [np.empty((T, CODES_PER_BYTE * len(p)), np.int32) for p in packed]
    length = max(map(len, packed))

    def work(first: int, last: int) -> None:  # the same part of each matrix
        for p, acc in zip(packed, accs, strict=True):
            R = len(p)
            part = R * first // length, R * last // length
            code.ternary(address(p), address(x), address(acc), T, N, R, *part)

    cost = sum(p.size for p in packed) * CODES_PER_BYTE * T // length
    split(work, length, WORTH // max(1, cost))
    return accs


def c_project_one(code: Code, x: F32, bits: NDArray[np.uint16]) -> F32:
    """Every row's dot product with a token: x (N,), bits (M, N) -> logits (M,)."""
    M, N = bits.shape
    wide, logits = aligned(x, np.float64), np.empty(M, np.float32)

    def work(first: int, last: int) -> None:
        arrays = address(bits), address(wide), address(logits)
        code.head(*arrays, N, first, last)

    split(work, M, HEAD_WORTH // N)
    return logits


def aligned(array: NDArray[Any], dtype: DTypeLike) -> NDArray[Any]:
    """A copy of another dtype that begins where a line of the processor's cache does.

    array (...) -> copy (...)
    """
    size = array.size * np.dtype(dtype).itemsize
    space = np.empty(size + LINE, np.uint8)
    start = -address(space) % LINE
    copy = space[start : start + size].view(dtype).reshape(array.shape)
    copy[...] = array
    return copy


def address(array: NDArray[Any]) -> int:
    """Where the numbers of an array begin in memory."""
    return int(array.__array_interface__["data"][0])


def is_right(code: Code) -> bool:
    """Whether the functions compute what masks and the head in NumPy do.

    Odd shapes, the largest sums there are, and rows in parts, as threads take them. And
    whether the processor still tells the smallest numbers from zero: a library may have
    changed that for the whole program when it was loaded (see `compiler`).
    """
    if not sys.float_info.min / 2 > 0:
        return False
    rng = np.random.default_rng(0)
    for T, R, N in ((1, 1, 1), (3, 5, 9000), (6, 2, 77)):
        x_codes = rng.integers(-128, 128, (T, N), np.int8)
        bands = rng.integers(0, 3, (CODES_PER_BYTE, R, N), np.uint8)
        x_codes[0], bands[:, 0] = -128, 2
        packed = sum(band << np.uint8(2 * b) for b, band in enumerate(bands))
        acc = np.empty((T, CODES_PER_BYTE * R), np.int32)
        x = aligned(x_codes, code.activation)
        for first, last in pairwise((0, R // 2, R)):
            places = address(packed), address(x), address(acc)
            code.ternary(*places, T, N, R, first, last)
        bits = bf16.narrow(rng.integers(-9, 10, (R, N)).astype(np.float32))
        token = x_codes[-1].astype(np.float32)  # whole numbers, whose sums are exact
        same = np.array_equal(acc, masks_matmul(x_codes, packed))
        logits = c_project_one(code, token, bits)
        if not same or not np.array_equal(logits, project(token[None], bits)[0]):
            return False
    return True
