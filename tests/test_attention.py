import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from minibitnet import KVCache, forward, trace
from minibitnet.attention import attend, attention, attention_weights, softmax
from minibitnet.rope import rotations

# Small enough that a rounding of a score, at most 16, does not grow in exp
SIZES = st.floats(-2, 2, width=32)


def plain_attend(q, keys, values):
    """One head after another, in float64."""
    weights, attn = [], []
    for h, query in enumerate(q.astype(np.float64)):
        g = h // (len(q) // len(keys))
        powers = np.exp(keys[g] @ query / np.sqrt(len(query)))
        weights.append(powers / powers.sum())
        attn.append(weights[-1] @ values[g])
    return np.array(weights), np.array(attn)


@st.composite
def grouped(draw):
    """q (H, d), keys and values (G, S, d)."""
    G, S, half = (draw(st.integers(1, highest)) for highest in (3, 6, 8))
    H = G * draw(st.integers(1, 4))
    shapes = (H, 2 * half), (G, S, 2 * half), (G, S, 2 * half)
    return [draw(arrays(np.float32, shape, elements=SIZES)) for shape in shapes]


def attend_tokens(model, x, cache=None):
    """The stages of the first block's attention."""
    config = model.config
    cache = KVCache(config, len(x)) if cache is None else cache
    places = np.arange(cache.length, cache.length + len(x))
    turn = rotations(places, config.head_dim, config.rope_theta)
    with trace() as stages:
        attention(x, model.layers[0].self_attn, config, turn, cache, 0)
    return stages


def random_tokens(T, seed=0):
    """Such that some weights are large and some are small."""
    return np.random.default_rng(seed).normal(0, 0.2, (T, 40)).astype(np.float32)


@given(grouped())
def test_a_head_attends_with_the_keys_and_values_of_its_group(heads):
    q, keys, values = heads
    attn, weights = attend(q[None], keys, values), attention_weights(q[None], keys)
    expected_weights, expected_attn = plain_attend(*heads)
    # Sums in float64 in another order, rounded to float32 once
    assert_allclose(weights[:, 0], expected_weights, rtol=1.01 * 2.0**-24, atol=1e-30)
    assert_allclose(attn[0], expected_attn, rtol=1.01 * 2.0**-24, atol=1e-13)


def test_every_token_attends_to_itself_and_those_before(model):
    stages = attend_tokens(model, random_tokens(7))
    G, d = model.config.num_key_value_heads, model.config.head_dim
    keys = stages["k.rope"].swapaxes(0, 1)
    values = stages["v"].reshape(7, G, d).swapaxes(0, 1)
    assert stages["attn_weights"].max() > 0.5  # that is, far from a plain mean
    for t, q in enumerate(stages["q.rope"]):
        weights, attn = plain_attend(q, keys[:, : t + 1], values[:, : t + 1])
        assert_allclose(stages["attn_weights"][:, t, : t + 1], weights, rtol=1e-7)
        assert_array_equal(stages["attn_weights"][:, t, t + 1 :], 0)
        assert_allclose(
            stages["attn"][t], attn.ravel(), rtol=1e-7, atol=1e-13 * abs(values).max()
        )


def test_a_later_token_changes_nothing_earlier(model):
    x = random_tokens(7)
    changed = np.concatenate([x[:4], random_tokens(3, seed=1)])
    stages, others = attend_tokens(model, x), attend_tokens(model, changed)
    weights, other_weights = stages.pop("attn_weights"), others.pop("attn_weights")
    assert_array_equal(weights[:, :4], other_weights[:, :4], strict=True)
    for name, array in stages.items():
        assert_array_equal(array[:4], others[name][:4], err_msg=name, strict=True)
        assert (array[4:] != others[name][4:]).any(), name


def test_a_token_alone_takes_its_own_value(model):
    stages = attend_tokens(model, random_tokens(1))
    config = model.config
    H, G, d = config.num_attention_heads, config.num_key_value_heads, config.head_dim
    values = np.repeat(stages["v"].reshape(1, G, d), H // G, axis=1)
    assert_array_equal(
        stages["attn_weights"], np.ones((H, 1, 1), np.float32), strict=True
    )
    assert_array_equal(stages["attn"], values.reshape(1, -1), strict=True)


def test_keys_and_values_are_written_behind_those_held_and_in_their_layer(model):
    cache = KVCache(model.config, capacity=9)
    forward(model, [1, 2, 3], cache)
    before = cache.keys.copy(), cache.values.copy()
    stages = attend_tokens(model, random_tokens(4), cache)
    assert cache.length == 3  # the caller's to change
    G, d = model.config.num_key_value_heads, model.config.head_dim
    new = stages["k.rope"], stages["v"].reshape(4, G, d)
    for held, old, array in zip((cache.keys, cache.values), before, new, strict=True):
        assert_array_equal(held[0, :, 3:7], array.swapaxes(0, 1))
        assert_array_equal(held[0, :, :3], old[0, :, :3])
        assert_array_equal(held[0, :, 7:], 0)
        assert_array_equal(held[1:], old[1:])


@pytest.mark.parametrize("largest", [0, 1000, 1e38])
def test_softmax_takes_scores_of_any_size(largest):
    scores = np.array([[largest, largest, -largest]], float)
    weights = np.array([[1, 1, np.exp(-min(2.0 * largest, 1000))]])
    assert_allclose(softmax(scores), weights / weights.sum(), rtol=1e-15)


def test_sums_are_carried_in_float64_and_rounded_once():
    # The middle value would be lost beside the first in float32.
    values = np.array([[[2.0**24], [1], [-(2.0**24)]]], np.float32)
    attn = attend(np.zeros((1, 1, 1), np.float32), np.zeros_like(values), values)
    assert attn[0, 0, 0] == np.float32(1 / 3)
