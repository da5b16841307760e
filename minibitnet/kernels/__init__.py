"""Kernels: the same ternary product, made to order.

A kernel is a way to compute the product of `minibitnet.matmul`. It takes the packed
matrices that read the same input (q, k and v; gate and up), lays them out as it likes,
and returns a function that multiplies int8 activations by each of them. All kernels
return the very same int32 numbers.

======== ========================================================================
masks    add, subtract, skip: the definition, and the oracle of the others (slow)
blas     rows unpacked to float32 a block at a time, then BLAS; the packed bytes
         are used as they lie, so loading takes no time
lookup   tables of partial sums, indexed by base-3 numbers; the quickest for one
         token
popcount bit planes, AND and counting ones
auto     blas for more than a few tokens; for a few, lookup, but where most
         activations are zero, as behind squared ReLU, blas on the others alone
======== ========================================================================

Examples
--------
>>> from minibitnet.packing import pack
>>> multiply = make_multiply("masks", [pack(np.eye(4, dtype=np.int8))], [4])
>>> multiply(np.array([[7, -8, 9, 10]], np.int8))
[array([[ 7, -8,  9, 10]], dtype=int32)]
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.files.tensorfile import let_go
from minibitnet.kernels import lookup, popcount
from minibitnet.kernels.blas import blas_matmul_packed
from minibitnet.matmul import ternary_matmul_packed

# x_codes (T, N) int8 -> for each matrix acc (T, M) int32
Multiply = Callable[[NDArray[np.int8]], list[NDArray[np.int32]]]
Packed = Sequence[NDArray[np.uint8]]

FEW = 3  # tokens for which tables are quicker than BLAS
SPARSE = 0.25  # share of activations up to which BLAS on those alone is quicker


def prepare_each(matmul: Callable[[Any, Any], NDArray[np.int32]], lay_out: Any) -> Any:
    """A kernel that multiplies by each matrix in turn.

    Parameters
    ----------
    matmul : callable
        From x_codes (T, N) and a laid-out matrix to acc (T, 4 * R).
    lay_out : callable
        From packed bytes to a laid-out matrix.

    Returns
    -------
    prepare : callable
        From packed matrices and their rows to a `Multiply`.
    """

    def prepare(packed: Packed, rows: Sequence[int]) -> Multiply:
        matrices = [(lay_out(p), M) for p, M in zip(packed, rows, strict=True)]
        return lambda x_codes: [matmul(x_codes, w)[:, :M] for w, M in matrices]

    return prepare


def prepare_lookup(packed: Packed, rows: Sequence[int]) -> Multiply:
    """The kernel of `minibitnet.kernels.lookup`, all matrices joined.

    Parameters
    ----------
    packed : list of ndarray of shape (R, N), uint8
        Matrices that read the same input.
    rows : list of int
        M of each.

    Returns
    -------
    multiply : callable
        From x_codes (T, N), int8, to a list of acc (T, M), int32.
    """
    indices = lookup.lay_out(packed, rows)
    for p in packed:
        let_go(p)
    ends = np.cumsum(rows)[:-1]
    return lambda x: np.split(lookup.lookup_matmul(x, indices), ends, axis=1)


def prepare_auto(packed: Packed, rows: Sequence[int]) -> Multiply:
    """The quickest kernel for as many tokens as there are.

    Parameters
    ----------
    packed : list of ndarray of shape (R, N), uint8
        Matrices that read the same input.
    rows : list of int
        M of each.

    Returns
    -------
    multiply : callable
        From x_codes (T, N), int8, to a list of acc (T, M), int32.
    """
    few, many = prepare_lookup(packed, rows), KERNELS["blas"](packed, rows)

    def multiply(x_codes: NDArray[np.int8]) -> list[NDArray[np.int32]]:
        if len(x_codes) > FEW:
            accs = many(x_codes)
            for p in packed:
                let_go(p)
            return accs
        used = np.flatnonzero(x_codes.any(axis=0))
        if len(used) > SPARSE * x_codes.shape[1]:
            return few(x_codes)
        columns = [p[:, used] for p in packed]
        return KERNELS["blas"](columns, rows)(x_codes[:, used])

    return multiply


def as_they_lie(packed: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """No other layout.

    Parameters
    ----------
    packed : ndarray of shape (R, N), uint8
        A packed matrix.

    Returns
    -------
    packed : ndarray of shape (R, N), uint8
        The same.
    """
    return packed


KERNELS: dict[str, Callable[[Packed, Sequence[int]], Multiply]] = {
    "auto": prepare_auto,
    "masks": prepare_each(ternary_matmul_packed, as_they_lie),
    "blas": prepare_each(blas_matmul_packed, as_they_lie),
    "lookup": prepare_lookup,
    "popcount": prepare_each(popcount.popcount_matmul, popcount.lay_out),
}


def check_kernel(kernel: str) -> None:
    """Refuse a kernel that does not exist.

    Parameters
    ----------
    kernel : str
        The name.

    Raises
    ------
    ValueError
        If no kernel has that name.
    """
    if kernel not in KERNELS:
        raise ValueError(f"kernel must be one of {', '.join(KERNELS)}, got {kernel!r}")


def make_multiply(kernel: str, packed: Packed, rows: Sequence[int]) -> Multiply:
    """A function that multiplies activations by these matrices.

    Parameters
    ----------
    kernel : str
        A key of ``KERNELS``.
    packed : list of ndarray of shape (R, N), uint8
        Matrices that read the same input.
    rows : list of int
        M of each.

    Returns
    -------
    multiply : callable
        From x_codes (T, N), int8, to a list of acc (T, M), int32.
    """
    check_kernel(kernel)
    return KERNELS[kernel](packed, rows)
