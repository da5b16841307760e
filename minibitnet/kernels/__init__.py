"""Kernels: the same ternary product, faster.

A kernel takes the packed matrices that read the same input (q, k and v; gate and up),
lays them out as it likes, and returns a function that multiplies int8 activations by
each of them. All kernels return the very same int32 numbers, those of
`minibitnet.matmul`.

======== ========================================================================
masks    add, subtract, skip: the definition, and the oracle of the others (slow)
blas     rows unpacked to float32 a block at a time, then BLAS; the packed bytes
         are used in place, without a copy, so loading takes no time
lookup   tables of partial sums, indexed by base-3 numbers; the quickest for one
         token
popcount bit planes, AND and counting ones
auto     for each product the quickest: blas, lookup, or blas on the columns that
         are not zero
c        the definition as a plain loop in C, several times as fast as all of these:
         for those who have a compiler and ask for it
======== ========================================================================

All but the last are NumPy alone and run everywhere: these are `KERNELS`. Beside the
ternary product stand `head` (the logits), `threads`, `memory` and, for the kernel in C,
`compiler`.

Examples
--------
>>> import numpy as np
>>> from minibitnet.packing import pack
>>> multiply = KERNELS["masks"]([pack(np.eye(4, dtype=np.int8))], [4])
>>> multiply(np.array([[7, -8, 9, 10]], np.int8))
[array([[ 7, -8,  9, 10]], dtype=int32)]
"""

from collections.abc import Callable

from minibitnet.arrays import F16, F32, U16
from minibitnet.kernels import auto, blas, c, lookup, masks, popcount
from minibitnet.kernels.head import Head
from minibitnet.matmul import Kernel

KERNELS: dict[str, Kernel] = {
    "auto": auto.prepare,
    "masks": masks.prepare,
    "blas": blas.prepare,
    "lookup": lookup.prepare,
    "popcount": popcount.prepare,
}


NAMES = (*KERNELS, "c")  # all that can be asked for


def find_kernel(kernel: str | Kernel) -> Kernel:
    """The kernel of that name; a function is taken as it is.

    Raises
    ------
    ValueError
        If there is none, or if it is `c` and there is no compiler.
    """
    if callable(kernel):
        return kernel
    if kernel not in NAMES:
        raise ValueError(f"kernel must be one of {', '.join(NAMES)}, got {kernel!r}")
    if kernel == "c":
        c.compiled()  # before anything is read
        return c.prepare
    return KERNELS[kernel]


def find_head(kernel: str | Kernel) -> Callable[[U16 | F16 | F32], Head]:
    """How the kernel multiplies by the head: all but `c` by NumPy."""
    return c.CHead if kernel == "c" else Head
