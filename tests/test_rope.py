import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from strategies import MODERATE

from minibitnet.rope import rotate, rotations

CONTEXT = 4096
THETAS = st.sampled_from([10_000.0, 500_000.0])
# An angle up to 4096 has the roundings of exponent, power and quotient, and its own,
# each at most 2**-24 of it; cosine, sine and what is done with them bring a few more.
ERROR = (4 * CONTEXT + 16) * 2.0**-24
SMALLEST = 1e-37  # below it float32 has fewer digits


@st.composite
def heads(draw, T):
    """Places of T tokens and their heads, (T, H, d)."""
    H, half = draw(st.integers(1, 3)), draw(st.integers(1, 8))
    x = arrays(np.float32, (T, H, 2 * half), elements=MODERATE)
    return draw(arrays(np.int64, T, elements=st.integers(0, CONTEXT - 1))), draw(x)


def turn(positions, x, theta):
    return rotate(x, *rotations(positions, x.shape[2], theta))


def size(x):
    """The length of each head's vector, in float64."""
    return np.linalg.norm(x.astype(np.float64), axis=2, keepdims=True)


@given(st.integers(0, 5).flatmap(heads), THETAS)
def test_a_rotation_is_a_product_of_complex_numbers(tokens, theta):
    positions, x = tokens
    half = x.shape[2] // 2
    speeds = theta ** -(np.arange(half) / half)
    numbers = x[:, :, :half] + 1j * x[:, :, half:].astype(np.float64)
    turned = numbers * np.exp(1j * positions[:, None, None] * speeds)
    y = turn(positions, x, theta)
    assert y.dtype == np.float32
    error = abs(y - np.concatenate([turned.real, turned.imag], axis=2))
    assert (error <= ERROR * size(x) + SMALLEST).all()


@given(heads(2), THETAS)
def test_position_0_changes_nothing(tokens, theta):
    _, x = tokens
    assert_array_equal(turn(np.array([0, 0]), x, theta), x, strict=True)


@given(st.integers(1, 5).flatmap(heads), THETAS)
def test_a_vector_keeps_its_length(tokens, theta):
    positions, x = tokens
    assert_allclose(size(turn(positions, x, theta)), size(x), rtol=1e-6, atol=SMALLEST)


@given(heads(2), st.integers(0, CONTEXT - 1), THETAS)
def test_a_score_depends_on_the_distance_only(tokens, shift, theta):
    positions, x = tokens
    positions = positions // 2
    q, k = turn(positions, x, theta)
    moved_q, moved_k = turn(positions + shift // 2, x, theta)
    change = (q * k).sum(axis=1) - (moved_q * moved_k).sum(axis=1)
    bound = 4 * ERROR * np.prod(size(x), axis=0)[:, 0]  # of four vectors
    assert (abs(change) <= bound + SMALLEST).all()


@pytest.mark.parametrize("j", [0, 1, 2])
def test_a_coordinate_turns_towards_the_one_half_a_head_away(j):
    theta, angle = 1000.0, 1000.0 ** (-j / 3)
    x = np.eye(6, dtype=np.float32)[None, j : j + 1]
    expected = np.zeros((1, 1, 6))
    expected[0, 0, [j, j + 3]] = np.cos(angle), np.sin(angle)
    assert_allclose(turn(np.array([1]), x, theta), expected, atol=1e-6)


def test_the_angles_of_2b4t_are_those_of_its_config():
    cos, sin = rotations(np.array([1]), head_dim=128, theta=500_000.0)
    assert cos.dtype == sin.dtype == np.float32
    angles = np.arctan2(sin, cos)[0, [0, 1, 2, 32, 63]]
    # As published to six digits
    published = [1, 0.814617, 0.663601, 0.00141421, 2.45514e-06]
    assert_allclose(angles, published, rtol=1e-5)


def test_angles_are_rounded_to_float32_at_every_step_as_in_transformers():
    cos, _ = rotations(np.array([4095]), head_dim=100, theta=500_000.0)
    for j in range(50):
        exponent = np.float32(2 * j) / np.float32(100)
        frequency = np.float32(1) / np.float32(500_000.0 ** float(exponent))
        angle = float(np.float32(4095) * frequency)
        assert cos[0, j] == np.float32(np.cos(angle))
