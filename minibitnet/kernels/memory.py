"""Memory: pages taken late and given back early.

The system hands memory out in pages, and a page counts for a process from when it is
first written or read. So a cache for a long text need cost nothing before the text is
long, and a matrix that is read through once need not stay.

Examples
--------
>>> zeros = unwritten((2, 3))
>>> zeros[1, 2] = 5
>>> zeros
array([[0., 0., 0.],
       [0., 0., 5.]], dtype=float32)
"""

import mmap
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.arrays import F32


def unwritten(shape: tuple[int, ...]) -> F32:
    """Zeros that take memory only as they are written, page by page."""
    # np.zeros asks for huge pages, and one number would take a whole one
    try:
        memory = mmap.mmap(-1, 4 * prod(shape))
    except (AttributeError, OSError, OverflowError, ValueError):
        return np.zeros(shape, np.float32)  # in a browser; or it says what is too large
    return np.frombuffer(memory, np.float32).reshape(shape)


def let_go(array: NDArray[Any]) -> None:
    """Free the memory of an array in a mapped file; looking again reads it again.

    The system keeps what was read as long as it has room, so this is cheap. Nothing is
    done where the array is not mapped.
    """
    owner: Any = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    if not (isinstance(owner, mmap.mmap) and hasattr(owner, "madvise")):
        return  # not mapped, or on Windows
    start = array.ctypes.data - np.frombuffer(owner, np.uint8).ctypes.data
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE  # whole pages only
    length = start + array.nbytes - first
    if length > 0:
        owner.madvise(mmap.MADV_DONTNEED, first, length)


def peak_memory() -> int | None:
    """The most bytes this process has had in memory; None if nobody counts."""
    try:
        with open("/proc/self/status", encoding="ascii") as status:
            [line] = [line for line in status if line.startswith("VmHWM")]
    except OSError:
        return None
    return 1024 * int(line.split()[1])
