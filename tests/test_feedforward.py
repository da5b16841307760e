import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from minibitnet.feedforward import feed_forward, relu2, silu
from minibitnet.rmsnorm import rms_norm
from minibitnet.stages import trace

# Up to 1e19: its square is still a float32.
GATES = arrays(np.float32, 10, elements=st.floats(-(2.0**63), 2.0**63, width=32))


def plain_relu2(g):
    return g * g if g > 0 else 0.0


def plain_silu(g):
    return g / (1 + np.exp(-g)) if g > -700 else 0.0


@pytest.mark.parametrize(
    ("activation", "plain"), [(relu2, plain_relu2), (silu, plain_silu)]
)
@given(
    gates=GATES
    | GATES.map(lambda gate: gate / 2**60)
    | st.just(np.float32([-1000, 1000]))
)
def test_an_activation_is_its_formula(activation, plain, gates):
    expected = [plain(float(gate)) for gate in gates]
    before = gates.copy()
    passed = activation(gates)
    assert passed.dtype == np.float32
    # Below 1e-37 float32 has fewer digits.
    assert_allclose(passed, expected, rtol=1e-6, atol=1e-37)
    assert_array_equal(gates, before)


def test_what_comes_out_follows_from_what_is_on_the_way(model):
    x = np.random.default_rng(0).standard_normal((5, 40), np.float32)
    mlp = model.layers[0].mlp
    with trace() as stages:
        down = feed_forward(x, mlp, model.config)
    activation = {"relu2": relu2, "silu": silu}[model.config.hidden_act]
    passed = activation(stages["gate"]) * stages["up"]
    assert_array_equal(stages["relu2_gate"], passed, strict=True)
    if mlp.ffn_sub_norm is not None:
        passed = rms_norm(passed, mlp.ffn_sub_norm, model.config.rms_norm_eps)
        assert_array_equal(stages["ffn_sub_norm"], passed, strict=True)
    largest = abs(passed).max(axis=1, keepdims=True)
    assert_array_equal(stages["ffn_out.scale"], largest / 127)
    assert stages["down"] is down


def test_a_token_goes_through_as_if_it_were_alone(model):
    x = np.random.default_rng(0).standard_normal((5, 40), np.float32)
    down = feed_forward(x, model.layers[0].mlp, model.config)
    for t in range(5):
        alone = feed_forward(x[t : t + 1], model.layers[0].mlp, model.config)
        assert_array_equal(down[t : t + 1], alone, strict=True)
