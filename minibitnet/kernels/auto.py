"""Auto: for each product the quickest kernel, by three numbers.

For many tokens BLAS is quickest, since unpacking a weight is shared by all of them. For
one to three tokens the tables are. But behind squared ReLU most activations are zero,
and then BLAS on the few columns that are used beats both. All return the same integers,
so choosing changes nothing but the time.

Examples
--------
>>> choose(T=256, used=2560, N=2560), choose(T=1, used=2560, N=2560)
('many', 'few')
>>> choose(T=1, used=600, N=6912)  # a sparse token
'sparse'
"""

from collections.abc import Sequence

import numpy as np

from minibitnet.arrays import I8, I32, U8
from minibitnet.kernels import blas, lookup
from minibitnet.kernels.memory import let_go
from minibitnet.matmul import Multiply

FEW = 3  # tokens for which tables are quicker than BLAS
SPARSE = 0.25  # fraction of columns up to which BLAS on those alone is quicker


def choose(T: int, used: int, N: int) -> str:
    """How to multiply T tokens of which `used` of N columns are not all zero."""
    if T > FEW:
        return "many"
    return "few" if used > SPARSE * N else "sparse"


def prepare(packed: Sequence[U8], rows: Sequence[int]) -> Multiply:
    """A function that multiplies by these matrices, each time the quickest way."""
    few, many = lookup.prepare(packed, rows), blas.prepare(packed, rows)

    def multiply(x_codes: I8) -> list[I32]:
        used = np.flatnonzero(x_codes.any(axis=0))
        way = choose(len(x_codes), len(used), x_codes.shape[1])
        if way == "few":
            return few(x_codes)
        if way == "sparse":
            columns = [p[:, used] for p in packed]
            return blas.prepare(columns, rows)(x_codes[:, used])
        accs = many(x_codes)
        for p in packed:
            let_go(p)
        return accs

    return multiply
