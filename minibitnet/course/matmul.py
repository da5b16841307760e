"""Exercises of notebook 4, how one multiplies without multiplying."""

import numpy as np
from numpy.typing import NDArray

from minibitnet.course.exercise import Exercise
from minibitnet.matmul import ternary_matmul

Codes = NDArray[np.int8]

rng = np.random.default_rng(0)
LARGE = np.array([[100, 120, -7, 5]], np.int8), np.array([[1, 1, -1, 0]], np.int8)
LOWEST = np.array([[-128, 3]], np.int8), np.array([[-1, 1], [1, 0]], np.int8)
WIDE = rng.integers(-128, 128, (2, 12), np.int8), rng.integers(-1, 2, (3, 12), np.int8)
LONG = (
    np.stack([np.full(400, 127), rng.integers(-128, 128, 400)]).astype(np.int8),
    np.stack([np.ones(400), -np.ones(400), rng.integers(-1, 2, 400)]).astype(np.int8),
)
TOKEN = rng.integers(-128, 128, (1, 5), np.int8), rng.integers(-1, 2, (4, 5), np.int8)


def product(x_codes: Codes, w_codes: Codes) -> NDArray[np.int32]:
    """The right answer to `check_product`."""
    return ternary_matmul(x_codes, w_codes)


def product_in_8_bits(x_codes: Codes, w_codes: Codes) -> Codes:
    """Sums that overflow."""
    return x_codes @ w_codes.T


def product_in(kind: type, x_codes: Codes, w_codes: Codes) -> NDArray[np.generic]:
    """Sums in a number of few bits."""
    return x_codes.astype(kind) @ w_codes.T.astype(kind)


def product_in_16_bits(x_codes: Codes, w_codes: Codes) -> NDArray[np.generic]:
    """Sums that overflow a little later."""
    return product_in(np.int16, x_codes, w_codes)


def product_in_float16(x_codes: Codes, w_codes: Codes) -> NDArray[np.generic]:
    """Sums that are rounded."""
    return product_in(np.float16, x_codes, w_codes)


def product_of_float16_sums(x_codes: Codes, w_codes: Codes) -> NDArray[np.float16]:
    """Two sums that are rounded."""
    signs = (np.where(w_codes == sign, 1, 0).astype(np.int8) for sign in (1, -1))
    added, subtracted = (product(x_codes, s).astype(np.float16) for s in signs)
    return added - subtracted


def product_negated_in_8_bits(x_codes: Codes, w_codes: Codes) -> NDArray[np.int32]:
    """-128 times -1 taken for -128."""
    products = x_codes[:, None] * w_codes
    return products.sum(axis=2, dtype=np.int32)


def product_of_subtractions(x_codes: Codes, w_codes: Codes) -> NDArray[np.int32]:
    """Added and subtracted the other way."""
    return -product(x_codes, w_codes)


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
        "Your sums are int16 and overflow at the 259th activation of 127. Add up as "
        "int32.": product_in_16_bits,
        "Your sums are float16, which holds whole numbers only up to 2048. Add up as "
        "int32.": (product_in_float16, product_of_float16_sums),
        "You negate in int8, where -(-128) is -128 again. Widen the codes first, or "
        "subtract sums.": product_negated_in_8_bits,
        "You add where the weight is -1 and subtract where it is +1."
        "": product_of_subtractions,
        "You add where the weight is +1. Subtract where it is -1, too."
        "": product_of_additions,
        "You subtract wherever the weight is not +1. Where it is 0, skip."
        "": product_of_zeros_too,
    },
    cases=[LARGE, LOWEST, WIDE, TOKEN, LONG],
)
