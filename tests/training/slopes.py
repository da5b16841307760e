# Gradients are held to slopes: central differences, in float64.

from hypothesis import strategies as st
from numpy.testing import assert_allclose

STEP = 1e-6
# A central difference is off by the third derivative times STEP**2, 1e-12, and by the
# rounding of float64 over STEP, 1e-10; both relative to numbers of size one.
RTOL, ATOL = 1e-6, 1e-7

SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.integers(1, 5)


def slope(function, x, direction):
    # How fast the number function(x) changes as x moves in a direction.
    change = function(x + STEP * direction) - function(x - STEP * direction)
    return change / (2 * STEP)


def check_pullback(function, arrays, rng):
    # The function returns an array and its pullback; a random mixture of the array's
    # numbers serves as the loss.
    y, pullback = function(*arrays)
    dy = rng.standard_normal(y.shape)
    gradients = pullback(dy)
    gradients = gradients if isinstance(gradients, tuple) else (gradients,)
    assert len(gradients) == len(arrays)
    for place, gradient in enumerate(gradients):
        assert gradient.shape == arrays[place].shape
        direction = rng.standard_normal(gradient.shape)

        def loss(x, place=place):
            changed = [*arrays[:place], x, *arrays[place + 1 :]]
            return (function(*changed)[0] * dy).sum()

        found = (gradient * direction).sum()
        expected = slope(loss, arrays[place], direction)
        assert_allclose(found, expected, rtol=RTOL, atol=ATOL * gradient.size)
