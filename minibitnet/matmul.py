"""The ternary product: add, subtract, skip.

A matrix product multiplies each activation by a weight and adds up. Where the weight is
+1 that is adding, where it is -1 subtracting, and where it is 0 there is nothing to do.
So a row of weights is two masks: which activations to add and which to subtract. There
is no multiplication, and integers add up to the same sum in any order: this is the
definition of the product, which every faster kernel must return to the last bit.

Notes
-----
::

    acc[t, m] = sum of x_codes[t, n] where w_codes[m, n] == +1
              - sum of x_codes[t, n] where w_codes[m, n] == -1

int8 codes are summed as int32: ``|acc| <= 128 * N``, which for the widest matrix of
2B4T (N = 6912) is 884,736. An int8 sum overflows within a few terms; an
int16 sum, which some kernels use, can from the 256th on.

References
----------
Ma et al., The Era of 1-bit LLMs, 2024, arXiv 2402.17764, figure 1.

Examples
--------
The first output is 100 + 120 - (-7), more than an int8 holds; the second 100 - 120.

>>> x_codes = np.array([[100, 120, -7, 5]], np.int8)
>>> w_codes = np.array([[1, 1, -1, 0], [1, -1, 0, 0]], np.int8)
>>> ternary_matmul(x_codes, w_codes)
array([[227, -20]], dtype=int32)
"""

from collections.abc import Callable, Sequence

import numpy as np

from minibitnet.arrays import I8, I32, U8

# A kernel takes packed matrices that read the same input, with the rows M of each, and
# returns the product with all of them: x_codes (T, N) -> acc (T, M) of each.
Multiply = Callable[[I8], list[I32]]
Kernel = Callable[[Sequence[U8], Sequence[int]], Multiply]


def ternary_matmul(x_codes: I8, w_codes: I8) -> I32:
    """Each token's sums and differences, one for each row of weights.

    x_codes (T, N), w_codes (M, N) -> acc (T, M)
    """
    T, M = len(x_codes), len(w_codes)
    acc = np.empty((T, M), np.int32)
    for m, row in enumerate(w_codes):
        added = x_codes[:, row == +1].sum(axis=1, dtype=np.int32)
        subtracted = x_codes[:, row == -1].sum(axis=1, dtype=np.int32)
        acc[:, m] = added - subtracted
    return acc
