import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from slopes import SEEDS, SIZES, check_pullback

from minibitnet import rmsnorm, rope
from minibitnet.attention import attend
from minibitnet.feedforward import relu2
from minibitnet.training.backward import (
    attention,
    rms_norm,
    rotate,
    squared_relu_gate,
)

GROUPS = st.integers(1, 3)


@given(seed=SEEDS, T=SIZES, N=SIZES, eps=st.sampled_from([1e-5, 0.1]))
def test_the_gradient_of_the_norm_is_its_slope(seed, T, N, eps):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((T, N)) + 2, rng.standard_normal(N)]
    check_pullback(lambda x, gain: rms_norm(x, gain, eps), arrays, rng)


@given(seed=SEEDS, T=SIZES, H=SIZES, half=SIZES)
def test_the_gradient_of_the_rotation_is_its_slope(seed, T, H, half):
    rng = np.random.default_rng(seed)
    turns = rope.rotations(np.arange(T) + 1, 2 * half, 10.0)
    cos, sin = (array.astype(float) for array in turns)
    x = rng.standard_normal((T, H, 2 * half))
    check_pullback(lambda x: rotate(x, cos, sin), [x], rng)


@given(seed=SEEDS, B=GROUPS, T=SIZES, G=GROUPS, group=st.integers(1, 4))
def test_the_gradients_of_attention_are_its_slopes(seed, B, T, G, group):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((B, T, heads, 2)) for heads in (G * group, G, G)]
    check_pullback(attention, arrays, rng)


@given(seed=SEEDS, T=SIZES, F=SIZES)
def test_the_gradients_of_the_gate_are_its_slopes(seed, T, F):
    rng = np.random.default_rng(seed)
    arrays = [rng.standard_normal((T, F)) for _ in range(2)]
    check_pullback(squared_relu_gate, arrays, rng)


# Forward, the pieces are those of inference: attention nearly, the others exactly.


@given(seed=SEEDS, T=SIZES, N=st.integers(1, 40))
def test_norm_and_gate_are_those_of_inference_to_the_last_bit(seed, T, N):
    rng = np.random.default_rng(seed)
    x, y = rng.standard_normal((2, T, N), np.float32)
    gain = rng.standard_normal(N, np.float32)
    expected = rmsnorm.rms_norm(x, gain, 1e-5)
    assert_array_equal(rms_norm(x, gain, 1e-5)[0], expected, strict=True)
    assert_array_equal(squared_relu_gate(x, y)[0], relu2(x) * y, strict=True)


@given(seed=SEEDS, B=GROUPS, T=SIZES, G=GROUPS, group=st.integers(1, 4))
def test_attention_is_that_of_inference_for_each_text(seed, B, T, G, group):
    rng = np.random.default_rng(seed)
    q, k, v = (
        rng.standard_normal((B, T, heads, 4), np.float32) for heads in (G * group, G, G)
    )
    y, _ = attention(q, k, v)
    expected = [
        attend(*of_text)
        for of_text in zip(q, k.swapaxes(1, 2), v.swapaxes(1, 2), strict=True)
    ]
    assert_allclose(y, np.array(expected), rtol=1e-5, atol=1e-6, strict=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gradients_have_the_precision_of_the_inputs(dtype):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((3, 4)).astype(dtype)
    heads = rng.standard_normal((1, 3, 2, 4)).astype(dtype)
    cos, sin = np.ones((2, 3, 2), dtype)
    for y, pullback in (
        rms_norm(x, x[0], 1e-5),
        rotate(heads[0], cos, sin),
        attention(heads, heads, heads),
        squared_relu_gate(x, x),
    ):
        gradients = pullback(y)
        gradients = gradients if isinstance(gradients, tuple) else (gradients,)
        assert {array.dtype for array in (y, *gradients)} == {np.dtype(dtype)}
