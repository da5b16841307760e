"""BLAS at one thread.

The matrices here are cut into blocks that fit in a core's cache. Several threads on so
small a product spend their time waiting for each other, and where another process wants
the same cores, they wait a hundred times longer than they compute.

References
----------
https://github.com/joblib/threadpoolctl
"""

from contextlib import AbstractContextManager
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController


@cache
def find_blas() -> ThreadpoolController:
    """The BLAS that NumPy has loaded.

    Returns
    -------
    controller : ThreadpoolController
        Looked for once: it takes a few milliseconds.
    """
    return ThreadpoolController().select(user_api="blas")


def one_blas_thread() -> AbstractContextManager[Any]:
    """Hold BLAS to one thread inside a ``with``.

    Returns
    -------
    limit : context manager
        What was before comes back at the end.
    """
    limit: AbstractContextManager[Any] = find_blas().limit(limits=1)
    return limit
