import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import LENGTHS, TOKENS, floats, ternary_codes

import minibitnet as mb
from minibitnet.absmax import quantize_activations
from minibitnet.bitlinear import BitLinear, bit_linear, rescale
from minibitnet.matmul import ternary_matmul
from minibitnet.packing import pack, unpack
from minibitnet.stages import trace

SCALES = st.floats(2.0**-10, 2.0**10, width=32).map(np.float32)


def make_layer(*matrices):
    """A layer from pairs of codes and scale."""
    return BitLinear(
        packed=tuple(pack(w) for w, _ in matrices),
        rows=tuple(len(w) for w, _ in matrices),
        scales=tuple(w_scale for _, w_scale in matrices),
        multiply=lambda x_codes: [ternary_matmul(x_codes, w) for w, _ in matrices],
    )


def outputs_of(x, *matrices):
    """What the layer of these matrices makes of x; its stages are y0, y1 and so on."""
    names = [f"y{i}" for i in range(len(matrices))]
    return bit_linear(x, make_layer(*matrices), "x", *names)


@st.composite
def layers(draw, count):
    """Activations and some ternary matrices with a scale each."""
    T, N = draw(TOKENS)
    matrix = LENGTHS.flatmap(lambda M: st.tuples(ternary_codes((M, N)), SCALES))
    return draw(floats((T, N))), [draw(matrix) for _ in range(count)]


@given(layers(1))
def test_the_layer_is_nearly_the_product_with_the_real_weights(layer):
    x, [(w_codes, w_scale)] = layer
    [y] = outputs_of(x, (w_codes, w_scale))
    exact = x.astype(np.float64) @ (w_codes * np.float64(w_scale)).T
    # Each weight that counts brings half a step of its token's scale, and a little.
    _, x_scale = quantize_activations(x)
    bound = 0.501 * x_scale * w_scale * abs(w_codes).sum(axis=1, dtype=np.float64)
    assert y.dtype == np.float32
    assert (abs(y - exact) <= bound).all()


@given(layers(3))
def test_joined_matrices_give_what_each_gives_alone(layer):
    x, matrices = layer
    joined = outputs_of(x, *matrices)
    for y, matrix in zip(joined, matrices, strict=True):
        [alone] = outputs_of(x, matrix)
        assert_array_equal(y, alone, strict=True)


def test_every_number_on_the_way_has_its_stage():
    x = np.array([[0.5, -1, 0.25, 0]], np.float32)
    matrices = [(np.eye(4, dtype=np.int8), np.float32(w_scale)) for w_scale in (1, 2)]
    with trace() as stages:
        outputs = outputs_of(x, *matrices)
    assert [*stages] == ["x.codes", "x.scale", "y0.acc", "y0", "y1.acc", "y1"]
    assert_array_equal(
        stages["x.codes"], np.array([[64, -127, 32, 0]], np.int8), strict=True
    )
    assert_array_equal(
        stages["y1.acc"], np.array([[64, -127, 32, 0]], np.int32), strict=True
    )
    assert stages["y0"] is outputs[0]
    assert stages["y1"] is outputs[1]


def test_the_scales_are_multiplied_first_and_in_float32():
    acc, x_scale, w_scale = np.int32([[49]]), np.float32([[0.1]]), np.float32(1.9)
    y = rescale(acc, x_scale, w_scale)
    assert_array_equal(y, np.float32([[49]]) * (x_scale * w_scale), strict=True)
    assert y != np.float32([[49]]) * x_scale * w_scale  # for this number


def test_a_token_of_zeros_stays_zero_beside_a_loud_one():
    x = np.array([[0, 0, 0], [1e30, -1e30, 1]], np.float32)
    [y] = outputs_of(x, (np.ones((5, 3), np.int8), np.float32(2)))
    assert_array_equal(y, np.zeros((2, 5), np.float32), strict=True)


def test_a_layer_of_a_loaded_model_shows_its_weights():
    model, _ = mb.load()
    layer = model.layers[0].self_attn.qkv_proj
    assert layer.rows == (256, 64, 64)
    assert [packed.shape for packed in layer.packed] == [
        (64, 256),
        (16, 256),
        (16, 256),
    ]
    x_codes = np.eye(256, dtype=np.int8)  # each row picks a column of the weights
    for acc, packed, rows in zip(
        layer.multiply(x_codes), layer.packed, layer.rows, strict=True
    ):
        assert_array_equal(acc.T, unpack(packed, rows))
