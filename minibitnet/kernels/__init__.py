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
======== ========================================================================

Beside the ternary product stand `head` (the logits), `threads` and `memory`.

Examples
--------
>>> import numpy as np
>>> from minibitnet.packing import pack
>>> multiply = KERNELS["masks"]([pack(np.eye(4, dtype=np.int8))], [4])
>>> multiply(np.array([[7, -8, 9, 10]], np.int8))
[array([[ 7, -8,  9, 10]], dtype=int32)]
"""

from minibitnet.kernels import auto, blas, lookup, masks, popcount
from minibitnet.matmul import Kernel

KERNELS: dict[str, Kernel] = {
    "auto": auto.prepare,
    "masks": masks.prepare,
    "blas": blas.prepare,
    "lookup": lookup.prepare,
    "popcount": popcount.prepare,
}


def find_kernel(kernel: str | Kernel) -> Kernel:
    """The kernel of that name; a function is taken as it is."""
    if callable(kernel):
        return kernel
    if kernel not in KERNELS:
        raise ValueError(f"kernel must be one of {', '.join(KERNELS)}, got {kernel!r}")
    return KERNELS[kernel]
