"""What every layout refuses: codes that are none, and bytes too many or too few.

Examples
--------
>>> to_stored(np.array([[-1, 0, 1]], np.int8))
array([[0, 1, 2]], dtype=uint8)
>>> to_stored(np.array([[2]], np.int8))
Traceback (most recent call last):
    ...
ValueError: w_codes must be -1, 0 or +1, got 2 to 2
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.arrays import I8, U8
from minibitnet.packing import check_codes


def to_stored(w_codes: I8) -> U8:
    """Codes -1, 0, +1 as 0, 1, 2; a ValueError for any other.

    w_codes (M, N) -> stored (M, N)
    """
    check_codes(w_codes)
    return (w_codes + np.int8(1)).astype(np.uint8)


def to_codes(stored: NDArray[np.integer[Any]]) -> I8:
    """Stored 0, 1, 2 as -1, 0, +1; a ValueError for any other.

    stored (...) -> w_codes (...)
    """
    if stored.size and stored.max() > 2:
        place = np.unravel_index(stored.argmax(), stored.shape)
        raise ValueError(
            f"data must hold codes 0, 1 and 2, got {stored.max()} for the weight at "
            f"{tuple(map(int, place))}"
        )
    return stored.astype(np.int8) - np.int8(1)


def check_size(data: U8, size: int) -> None:
    """A ValueError unless there are so many bytes."""
    if data.shape != (size,):
        raise ValueError(f"data must be {size} bytes, got shape {data.shape}")


def check_multiple(name: str, value: int, of: int) -> None:
    """A ValueError unless a size is a multiple of what the layout needs."""
    if value % of:
        raise ValueError(f"{name} must be a multiple of {of}, got {value}")
