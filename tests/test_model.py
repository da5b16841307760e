import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import (
    assert_allclose,
    assert_array_equal,
    assert_array_max_ulp,
)

from minibitnet import KVCache, forward, trace
from minibitnet.absmax import quantize_activations
from minibitnet.bf16 import widen
from minibitnet.files.tensorfile import read_tensors
from minibitnet.kernels import blas, head, lookup
from minibitnet.packing import unpack
from minibitnet.rmsnorm import rms_norm
from minibitnet.rope import rotate, rotations

IDS = [5, 0, 96, 5, 17, 42]
PRODUCTS = {  # the stage, what it is made from, and its matrix in the file
    "q": ("attn_in", "self_attn.q_proj"),
    "k": ("attn_in", "self_attn.k_proj"),
    "v": ("attn_in", "self_attn.v_proj"),
    "o": ("attn_out", "self_attn.o_proj"),
    "gate": ("ffn_in", "mlp.gate_proj"),
    "up": ("ffn_in", "mlp.up_proj"),
    "down": ("ffn_out", "mlp.down_proj"),
}


def is_llama(model):
    """Whether it is the one without sub-norms, with a head and scales that divide."""
    return model.config.hidden_act == "silu"


def blocks(checkpoint, model):
    """Of each block what goes in, its stages, and its arrays as the file names them."""
    tensors = read_tensors(checkpoint / "model.safetensors")
    with trace() as stages:
        forward(model, IDS)
    h = stages["embed"]
    for L in range(model.config.num_hidden_layers):
        prefix = f"layers.{L}."
        here = {n.removeprefix(prefix): a for n, a in stages.items() if prefix in n}
        weights = {
            name.removeprefix(f"model.{prefix}"): tensor.array
            for name, tensor in tensors.items()
            if prefix in name
        }
        yield h, here, weights
        h = here["ffn_residual"]


def test_products_are_of_the_matrices_that_the_file_names(checkpoint, model):
    for _, stages, weights in blocks(checkpoint, model):
        for name, (source, matrix) in PRODUCTS.items():
            acc = stages[f"{name}.acc"]
            w_codes = unpack(weights[f"{matrix}.weight"], rows=acc.shape[1])
            expected = stages[f"{source}.codes"] @ w_codes.T.astype(np.int64)
            assert_array_equal(acc, expected, err_msg=name)
            w_scale = widen(weights[f"{matrix}.weight_scale"])
            w_scale = 1 / w_scale if is_llama(model) else w_scale
            real = acc * (stages[f"{source}.scale"] * w_scale).astype(np.float64)
            assert_allclose(stages[name], real, rtol=2.0**-23, err_msg=name)


def test_codes_are_those_of_the_norm_before(checkpoint, model):
    sub_norms = ("attn_sub_norm", "ffn_sub_norm")
    attn, ffn = sub_norms if not is_llama(model) else ("attn", "relu2_gate")
    names = ("attn_in", "attn_out", "ffn_in", "ffn_out")
    for _, stages, _ in blocks(checkpoint, model):
        for name, source in zip(
            names, ("attn_norm", attn, "ffn_norm", ffn), strict=True
        ):
            x_codes, x_scale = quantize_activations(stages[source])
            assert_array_equal(stages[f"{name}.codes"], x_codes, strict=True)
            assert_array_equal(stages[f"{name}.scale"], x_scale, strict=True)


def test_norms_have_the_gains_that_the_file_names(checkpoint, model):
    for h, stages, weights in blocks(checkpoint, model):
        sources = {
            "attn_norm": (h, "input_layernorm"),
            "attn_sub_norm": (stages["attn"], "self_attn.attn_sub_norm"),
            "ffn_norm": (stages["attn_residual"], "post_attention_layernorm"),
            "ffn_sub_norm": (stages["relu2_gate"], "mlp.ffn_sub_norm"),
        }
        there = {name for name in sources if name in stages}
        assert len(there) == (4 if not is_llama(model) else 2)
        for name in there:
            x, gain = sources[name]
            normed = rms_norm(x, widen(weights[f"{gain}.weight"]), eps=1e-5)
            assert_array_equal(stages[name], normed, err_msg=name, strict=True)


def test_queries_and_keys_are_turned_and_both_halves_added(checkpoint, model):
    turn = rotations(np.arange(len(IDS)), head_dim=6, theta=500_000.0)
    for h, stages, _ in blocks(checkpoint, model):
        for name in "q", "k":
            flat = stages[name].reshape(len(IDS), -1, 6)
            assert_array_equal(stages[f"{name}.rope"], rotate(flat, *turn), strict=True)
        assert_array_equal(stages["attn_residual"], h + stages["o"], strict=True)
        h = stages["attn_residual"]
        assert_array_equal(stages["ffn_residual"], h + stages["down"], strict=True)


def test_a_row_of_the_embedding_goes_in_and_the_head_comes_out(checkpoint, model):
    tensors = read_tensors(checkpoint / "model.safetensors")
    embedding = widen(tensors["model.embed_tokens.weight"].array)
    head, gain = embedding, widen(tensors["model.norm.weight"].array)
    if is_llama(model):
        head = widen(tensors["lm_head.weight"].array)
    with trace() as stages:
        logits = forward(model, IDS)
    h = stages["layers.2.ffn_residual"]
    assert logits.dtype == np.float32
    assert_array_equal(stages["embed"], embedding[IDS], strict=True)
    assert_array_equal(stages["final_norm"], rms_norm(h, gain, eps=1e-5), strict=True)
    expected = stages["final_norm"].astype(np.float64) @ head.T.astype(np.float64)
    assert_array_max_ulp(logits, expected.astype(np.float32), 1)


def test_a_tied_head_is_the_embedding_itself(model):
    assert (model.lm_head is model.embed_tokens) == (not is_llama(model))


@st.composite
def cut_texts(draw):
    """Up to a full context of ids, and the places where it is cut."""
    ids = draw(st.lists(st.integers(0, 96), min_size=2, max_size=64))
    return ids, sorted(draw(st.sets(st.integers(1, len(ids) - 1))))


@settings(max_examples=40, deadline=None)
@given(text=cut_texts())
@example(text=(IDS, []))
@example(text=(IDS, [1, 2, 3, 4, 5]))
def test_a_text_in_pieces_is_the_same_to_the_last_bit(model, text):
    ids, cuts = text
    with trace() as whole:
        forward(model, ids)
    cache = KVCache(model.config, capacity=len(ids))
    for piece in np.split(ids, cuts):
        with trace() as stages:
            forward(model, piece, cache)
        end = cache.length
        here = slice(end - len(piece), end)
        for name, array in stages.items():
            if name.endswith("attn_weights"):
                assert_array_equal(array, whole[name][:, here, :end], strict=True)
            else:
                assert_array_equal(array, whole[name][here], err_msg=name, strict=True)


def test_without_a_cache_a_text_begins_anew(model):
    cache = KVCache(model.config, capacity=64)
    assert_array_equal(forward(model, IDS), forward(model, IDS, cache), strict=True)
    assert cache.length == len(IDS)


def test_last_is_the_last_row(model):
    logits = forward(model, IDS, last=True)
    assert logits.shape == (97,)
    expected = forward(model, IDS)[-1]
    assert logits.argmax() == expected.argmax()
    assert logits.max() == expected.max()
    longest = np.linalg.norm(widen(model.lm_head), axis=1).max()
    assert_allclose(logits, expected, rtol=0, atol=42 * 2.0**-23 * longest)


@pytest.mark.parametrize("threads", [2, 3])
def test_the_number_of_threads_changes_no_bit(model, threads, monkeypatch):
    for module in (blas, head, lookup):  # however small the parts
        monkeypatch.setattr(module, "WORTH", 0)
    ids = [5, 3, 96, 0, 7]
    with trace() as stages:
        forward(model, ids)
    with trace() as others:
        forward(replace(model, threads=threads), ids)
    assert stages.keys() == others.keys()
    for name, array in stages.items():
        assert_array_equal(others[name], array, err_msg=name, strict=True)


@pytest.mark.parametrize("ids", [np.array(IDS, np.uint8), tuple(IDS), range(6)])
def test_ids_may_be_any_whole_numbers_in_a_row(model, ids):
    expected = forward(model, [int(token) for token in ids])
    assert_array_equal(forward(model, ids), expected, strict=True)


REFUSED = [
    ([], r"at least one token id in a row, got shape \(0,\)"),
    (5, r"in a row, got shape \(\)"),
    ([[1, 2]], r"in a row, got shape \(1, 2\)"),
    ([1.0], "whole numbers, got float64"),
    ([True], "whole numbers, got bool"),
    (["a"], "whole numbers, got <U1"),
    ([3, -1], "from 0 to 96, got -1"),
    ([97, 3], "from 0 to 96, got 97"),
    ([2**63], "from 0 to 96, got 9223372036854775808"),
]


@pytest.mark.parametrize(
    ("ids", "message"), [*REFUSED, ([0] * 65, "room for 64, got 65")]
)
def test_ids_that_cannot_be_read_are_refused(model, ids, message):
    with pytest.raises(ValueError, match=f"^ids must .*{message}"):
        forward(model, ids)


@pytest.mark.parametrize(("ids", "message"), [*REFUSED, ([0] * 3, "room for 2, got 3")])
def test_a_refused_call_leaves_the_cache_as_it_was(model, ids, message):
    cache = KVCache(model.config, capacity=5)
    forward(model, [1, 2, 3], cache)
    keys, values = cache.keys.copy(), cache.values.copy()
    with pytest.raises(ValueError, match=message):
        forward(model, ids, cache)
    assert cache.length == 3
    assert_array_equal(cache.keys, keys)
    assert_array_equal(cache.values, values)


def damage_block(block, stage):
    """A block with numbers in it of which `stage` is the first that is not finite."""
    if stage == "attn_norm":
        gain = np.full_like(block.input_layernorm, 3e38)
        return replace(block, input_layernorm=gain)
    infinite, large = ((np.float32(n),) * 3 for n in (np.inf, 1e15))
    if stage == "q":
        wrong = replace(block.self_attn.qkv_proj, scales=infinite)
        return replace(block, self_attn=replace(block.self_attn, qkv_proj=wrong))
    wrong = replace(block.mlp.gate_up_proj, scales=large[:2])
    return replace(block, mlp=replace(block.mlp, gate_up_proj=wrong))


def damage(model, stage):
    """The same around the blocks, or for layer 1."""
    if stage == "embed":
        embedding = widen(model.embed_tokens).copy()
        embedding[IDS[2], 3] = np.nan
        return replace(model, embed_tokens=embedding)
    if stage == "logits":
        head = np.full_like(widen(model.lm_head), 3e38)  # finite until it is summed
        return replace(model, lm_head=head, norm=100 * model.norm)
    first, second, third = model.layers
    layers = first, damage_block(second, stage), third
    relu2 = replace(model.config, hidden_act="relu2")
    return replace(model, layers=layers, config=relu2)


@pytest.mark.parametrize(
    ("stage", "where"),
    [
        ("embed", "embed"),
        ("attn_norm", "layers.1.attn_norm"),
        ("q", "layers.1.q"),
        ("relu2_gate", "layers.1.relu2_gate"),
        ("logits", "logits"),
    ],
)
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("last", [False, True])
def test_the_first_stage_that_is_not_finite_is_named(
    model, stage, where, threads, last, monkeypatch
):
    for module in (blas, head, lookup):
        monkeypatch.setattr(module, "WORTH", 0)
    wrong = replace(damage(model, stage), threads=threads)
    cache = KVCache(wrong.config, capacity=9)
    with pytest.raises(
        FloatingPointError,
        match=rf"^{where}: expected finite numbers, found -?(inf|nan)$",
    ):
        forward(wrong, IDS, cache, last=last)
    assert cache.length == 0


def test_a_pass_that_fails_leaves_the_cache_as_it_was(model):
    wrong = damage(model, "embed")
    cache = KVCache(model.config, capacity=64)
    forward(wrong, [1, 2], cache)
    with pytest.raises(FloatingPointError, match="embed"):
        forward(wrong, IDS, cache)
    assert cache.length == 2
    fresh = KVCache(model.config, capacity=64)
    forward(wrong, [1, 2], fresh)
    assert_array_equal(forward(wrong, [7], cache), forward(wrong, [7], fresh))


@pytest.mark.parametrize("way", [pickle.dumps, copy.copy, copy.deepcopy])
def test_a_model_is_not_pickled_or_copied_but_loaded_again(model, way):
    with pytest.raises(TypeError, match=r"load it .* with minibitnet.load\(path\)"):
        way(model)
