"""Kernels: the same ternary product, made to order.

A kernel is a way to compute the product of `minibitnet.matmul`. It takes the packed
matrices that read the same input (q, k and v; gate and up) and returns a function that
multiplies int8 activations by each of them. All kernels return the very same int32
numbers.

====== ==========================================================================
masks  add, subtract, skip: the definition, and the oracle of the others (slow)
blas   rows unpacked to float32 a block at a time, then BLAS; exact below 2**24
auto   the fastest: blas
====== ==========================================================================

Examples
--------
>>> from minibitnet.packing import pack
>>> multiply = make_multiply("masks", [pack(np.eye(4, dtype=np.int8))], [4])
>>> multiply(np.array([[7, -8, 9, 10]], np.int8))
[array([[ 7, -8,  9, 10]], dtype=int32)]
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from minibitnet.kernels.blas import blas_matmul_packed
from minibitnet.matmul import ternary_matmul_packed

# x_codes (T, N) int8 -> for each matrix acc (T, M) int32
Multiply = Callable[[NDArray[np.int8]], list[NDArray[np.int32]]]

KERNELS = {
    "auto": blas_matmul_packed,
    "blas": blas_matmul_packed,
    "masks": ternary_matmul_packed,
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


def make_multiply(
    kernel: str, packed: Sequence[NDArray[np.uint8]], rows: Sequence[int]
) -> Multiply:
    """A function that multiplies activations by these matrices.

    Parameters
    ----------
    kernel : str
        A key of ``KERNELS``.
    packed : list of ndarray of shape (R, N), uint8
        Matrices that read the same input; kept, not copied.
    rows : list of int
        M of each.

    Returns
    -------
    multiply : callable
        From x_codes (T, N), int8, to a list of acc (T, M), int32.
    """
    check_kernel(kernel)
    matmul = KERNELS[kernel]

    def multiply(x_codes: NDArray[np.int8]) -> list[NDArray[np.int32]]:
        return [matmul(x_codes, p)[:, :M] for p, M in zip(packed, rows, strict=True)]

    return multiply
