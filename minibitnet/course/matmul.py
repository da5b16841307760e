"""Exercises of notebook 4, how one multiplies without multiplying."""

import numpy as np
from numpy.typing import NDArray

from minibitnet.course.exercise import Exercise
from minibitnet.matmul import ternary_matmul

Codes = NDArray[np.int8]

rng = np.random.default_rng(0)
LARGE = np.array([[100, 120, -7, 5]], np.int8), np.array([[1, 1, -1, 0]], np.int8)
WIDE = rng.integers(-128, 128, (2, 12), np.int8), rng.integers(-1, 2, (3, 12), np.int8)


def product(x_codes: Codes, w_codes: Codes) -> NDArray[np.int32]:
    """The right answer to `check_product`."""
    return ternary_matmul(x_codes, w_codes)


def product_in_8_bits(x_codes: Codes, w_codes: Codes) -> Codes:
    """Sums that overflow."""
    return x_codes @ w_codes.T


def product_of_additions(x_codes: Codes, w_codes: Codes) -> NDArray[np.int32]:
    """Nothing subtracted."""
    return ternary_matmul(x_codes, np.maximum(w_codes, 0))


def product_of_zeros_too(x_codes: Codes, w_codes: Codes) -> NDArray[np.int32]:
    """Zeros taken for minus one."""
    return ternary_matmul(x_codes, np.where(w_codes == 1, 1, -1).astype(np.int8))


check_operations = Exercise(
    right=2,
    mistakes={
        "You counted the zero as well. It is skipped.": 3,
        "You counted the multiplications of an ordinary product.": 4,
    },
)
check_product = Exercise(
    right=product,
    mistakes={
        "Your sums are int8 and overflow. Add up as int32: sum(..., dtype=np.int32)."
        "": product_in_8_bits,
        "You add where the weight is +1. Subtract where it is -1, too."
        "": product_of_additions,
        "You subtract wherever the weight is not +1. Where it is 0, skip."
        "": product_of_zeros_too,
    },
    cases=[LARGE, WIDE],
)
