"""The head: logits from a bfloat16 matrix, as it lies in the file.

The head of 2B4T has 128,256 rows and is not ternary: at 657 MB it is more than all
ternary matrices together. As float32 it would be twice that. So it stays bfloat16, and
a block of rows is widened, multiplied and forgotten, in a space that stays in a core's
cache. What is left of the time is reading the matrix from memory once, which is why
only the last token of a prompt is multiplied by it.

Examples
--------
>>> E = bf16.narrow(np.array([[1, 0], [0, 1], [0.5, -3]], np.float32))
>>> project(np.array([[2, 1]], np.float32), E)
array([[ 2.,  1., -2.]], dtype=float32)
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet import bf16
from minibitnet.kernels.threads import split

WORTH = 2**19  # weights that are worth a thread
ROWS = 512  # of a block: few calls, and a space of 5 MB for 2B4T


def project(x: NDArray[np.float32], bits: NDArray[Any]) -> NDArray[np.float32]:
    """``x @ bf16.widen(bits).T``, with a block of rows widened at a time.

    Parameters
    ----------
    x : ndarray of shape (T, N), float32
        One vector a token.
    bits : ndarray of shape (M, N), uint16
        A bfloat16 matrix; it may lie in a mapped file. One of float16 or float32 is
        taken as what it is.

    Returns
    -------
    y : ndarray of shape (T, M), float32
        Every row's dot product with every token.
    """
    M, N = bits.shape
    y = np.empty((len(x), M), np.float32)

    def work(first: int, last: int) -> None:
        space = np.empty((min(ROWS, M), N), np.uint32)
        for start in range(ROWS * first, min(ROWS * last, M), ROWS):
            block = bits[start : start + ROWS]
            wide = bf16.widen(block, space[: len(block)])
            np.matmul(x, wide.T, out=y[:, start : start + len(block)])

    split(work, -(-M // ROWS), WORTH // (ROWS * N))
    return y
