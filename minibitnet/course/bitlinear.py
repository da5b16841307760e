"""Exercises of notebook 5, what a linear layer is here."""

import numpy as np
from numpy.typing import NDArray

from minibitnet.absmax import quantize_activations
from minibitnet.course.exercise import Exercise
from minibitnet.matmul import ternary_matmul

F32 = NDArray[np.float32]
Codes = NDArray[np.int8]

rng = np.random.default_rng(5)
LOUDNESS = np.array([[1], [8], [0.1]], np.float32)
TOKENS = rng.standard_normal((3, 10), np.float32) * LOUDNESS
WEIGHTS = rng.integers(-1, 2, (4, 10), np.int8)
# Sums beyond 2048, above which float16 holds no odd number
MORE = 3 * rng.standard_normal((4, 300), np.float32) + 1
MORE_WEIGHTS = rng.choice(np.array([-1, 0, 1, 1, 1], np.int8), (6, 300))


def _parts(x: F32, w_codes: Codes) -> tuple[F32, F32]:
    x_codes, x_scale = quantize_activations(x)
    return ternary_matmul(x_codes, w_codes).astype(np.float32), x_scale


def output(x: F32, w_codes: Codes, w_scale: np.float32) -> F32:
    """The right answer to `check_output`."""
    acc, x_scale = _parts(x, w_codes)
    return acc * (x_scale * w_scale)


def output_divided(x: F32, w_codes: Codes, w_scale: np.float32) -> F32:
    """The scale of the weights on the wrong side."""
    acc, x_scale = _parts(x, w_codes)
    return acc * (x_scale / w_scale)


def output_unscaled(x: F32, w_codes: Codes, w_scale: np.float32) -> F32:
    """The scale of the weights forgotten."""
    acc, x_scale = _parts(x, w_codes)
    return acc * x_scale


def output_of_codes(x: F32, w_codes: Codes, w_scale: np.float32) -> F32:
    """The scale of the activations forgotten."""
    return _parts(x, w_codes)[0] * w_scale


def output_of_divided_codes(x: F32, w_codes: Codes, w_scale: np.float32) -> F32:
    """The scale of the activations on the wrong side."""
    acc, x_scale = _parts(x, w_codes)
    return acc / x_scale * w_scale


def output_of_one_scale(x: F32, w_codes: Codes, w_scale: np.float32) -> F32:
    """The largest of all tokens for each."""
    scale = np.abs(x).max() / np.float32(127)
    x_codes = np.rint(x / scale).astype(np.int8)
    return ternary_matmul(x_codes, w_codes).astype(np.float32) * (scale * w_scale)


def output_in_8_bits(x: F32, w_codes: Codes, w_scale: np.float32) -> F32:
    """Sums that overflow."""
    x_codes, x_scale = quantize_activations(x)
    return (x_codes @ w_codes.T).astype(np.float32) * (x_scale * w_scale)


def output_in_float16(x: F32, w_codes: Codes, w_scale: np.float32) -> F32:
    """Sums that are rounded."""
    acc, x_scale = _parts(x, w_codes)
    return acc.astype(np.float16) * (x_scale * w_scale)


def output_in_float64(
    x: F32, w_codes: Codes, w_scale: np.float32
) -> NDArray[np.float64]:
    """int32 times float32."""
    return output(x, w_codes, w_scale).astype(np.float64)


def output_unrounded(x: F32, w_codes: Codes, w_scale: np.float32) -> F32:
    """Activations that were never rounded."""
    return x @ w_codes.T.astype(np.float32) * w_scale


check_value = Exercise(
    right=0.1,
    mistakes={
        "That is the sum of the codes. Two scales are to be multiplied by it.": 40,
        "The scale of the weights is missing.": 0.2,
        "The scale of the activations is missing.": 20,
        "You divided by the scale of the weights.": 0.4,
    },
)
check_output = Exercise(
    right=output,
    mistakes={
        "You divide by w_scale. A scale always multiplies codes.": output_divided,
        "You forgot w_scale: every layer is then too loud or too quiet by a factor of "
        "its own.": output_unscaled,
        "You forgot x_scale, which is another one for each token.": output_of_codes,
        "You have one scale for all tokens. quantize_activations makes one for each."
        "": output_of_one_scale,
        "You divide by x_scale. A scale always multiplies codes."
        "": output_of_divided_codes,
        "Your sums are int8 and overflow. ternary_matmul adds up as int32."
        "": output_in_8_bits,
        "Your sums are float16, which holds whole numbers only up to 2048."
        "": output_in_float16,
        "The numbers are right, but not float32: int32 times float32 is float64 in "
        "NumPy. Leave the integers by acc.astype(np.float32).": output_in_float64,
        "You never rounded x. That is near, and not the same: the model was trained "
        "with the rounding.": output_unrounded,
    },
    cases=[
        (TOKENS, WEIGHTS, np.float32(0.5)),
        (TOKENS[:1], WEIGHTS, np.float32(3)),
        (MORE, MORE_WEIGHTS, np.float32(0.037)),
    ],
    dtype=True,
)
