"""Auto: for each product the quickest kernel, by three numbers.

For many tokens BLAS is quickest, since unpacking a weight is shared by all of them. For
one to three tokens the tables are. But behind squared ReLU most activations are zero,
and then BLAS on the few columns that are used beats both: taking them out takes time,
so for one token they must be fewer than for several, which share it. All return the
same integers, so choosing changes nothing but the time.

Notes
-----
Where the limits lie was measured (``python benchmarks/kernel_limits.py``).

Examples
--------
>>> choose(T=256, used=2560, N=2560), choose(T=1, used=2560, N=2560)
('many', 'few')
>>> choose(T=1, used=1100, N=6912), choose(T=16, used=3400, N=6912)  # many are zero
('sparse', 'sparse')
"""

from collections.abc import Sequence

import numpy as np

from minibitnet.arrays import I8, I32, U8
from minibitnet.kernels import blas, lookup
from minibitnet.kernels.memory import let_go
from minibitnet.matmul import Multiply

FEW = 3  # tokens for which tables are quicker than BLAS
# Fraction of columns up to which BLAS on those alone is quicker: of 1, 2, 3 and more
SPARSE = (0.2, 0.3, 0.4, 0.5)


def choose(T: int, used: int, N: int) -> str:
    """How to multiply T tokens of which `used` of N columns are not all zero."""
    if used <= SPARSE[min(T, len(SPARSE)) - 1] * N:
        return "sparse"
    return "few" if T <= FEW else "many"


def prepare(packed: Sequence[U8], rows: Sequence[int]) -> Multiply:
    """A function that multiplies by these matrices, each time the quickest way."""
    few, many = lookup.prepare(packed, rows), blas.prepare(packed, rows)

    def multiply(x_codes: I8) -> list[I32]:
        used = np.flatnonzero(x_codes.any(axis=0))
        way = choose(len(x_codes), len(used), x_codes.shape[1])
        if way == "few":
            return few(x_codes)
        if way == "sparse":
            # No index is out of range; "wrap" spares NumPy a check.
            columns = [p.take(used, axis=1, mode="wrap") for p in packed]
            return blas.prepare(columns, rows)(x_codes[:, used])
        accs = many(x_codes)
        for p in packed:
            let_go(p)
        return accs

    return multiply
