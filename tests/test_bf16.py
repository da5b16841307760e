import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minibitnet import bf16

EVERY = np.arange(2**16, dtype=np.uint16)
LARGEST = 2.0**128 - 2.0**120  # of bfloat16


def plain_narrow(values):
    """The multiple of the step that is nearest, in float64, which holds them all."""
    _, exponent = np.frexp(values)
    step = np.exp2(np.maximum(exponent - 1, -126) - 7.0)  # below 2**-126 it stays
    nearest = np.rint(values / step) * step
    return np.where(abs(nearest) > LARGEST, np.copysign(np.inf, values), nearest)


def test_narrow_undoes_widen():
    bits = EVERY[~np.isnan(bf16.widen(EVERY))]
    assert len(bits) == 2**16 - 2 * 127  # all but the NaNs
    assert_array_equal(bf16.narrow(bf16.widen(bits)), bits, strict=True)


@pytest.mark.parametrize("lower", [0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF])
def test_narrow_takes_the_nearest_and_of_two_the_even_one(lower):
    values = (EVERY.astype(np.uint32) << 16 | lower).view(np.float32)
    values = values[np.isfinite(values)]
    narrowed = bf16.widen(bf16.narrow(values))
    assert_array_equal(narrowed, plain_narrow(values.astype(np.float64)))


def test_narrow_keeps_infinity_and_the_sign_of_zero():
    values = np.array([np.inf, -np.inf, 0.0, -0.0], np.float32)
    bits = np.array([0x7F80, 0xFF80, 0x0000, 0x8000], np.uint16)
    assert_array_equal(bf16.narrow(values), bits, strict=True)


@pytest.mark.parametrize("shape", [(), (0,), (2, 3)])
def test_shapes_are_kept(shape):
    bits = bf16.narrow(np.ones(shape, np.float32))
    assert_array_equal(bits, np.full(shape, 0x3F80, np.uint16), strict=True)
    assert_array_equal(bf16.widen(bits), np.ones(shape, np.float32), strict=True)


def test_narrow_refuses_nan():
    with pytest.raises(ValueError, match="must be numbers, got NaN"):
        bf16.narrow(np.array([1, np.nan], np.float32))


def test_what_is_float32_already_stays_as_it_is():
    values = np.array([1.5, -2], np.float32)
    assert bf16.widen(values) is values
