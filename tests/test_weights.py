import json

import pytest
from shared import REAL, needs_shared
from small import SMALL, SMALL_LLAMA

import minibitnet as mb
from minibitnet.checkpoint.configfile import parse_config, parse_stored
from minibitnet.checkpoint.synth import write_checkpoint
from minibitnet.files.published import CONFIG
from minibitnet.packing import unpack
from minibitnet.weights import (
    EMBEDDING,
    GROUPS,
    HEAD,
    ONEBITLLM,
    gguf_name,
    in_layer,
    is_norm,
    is_ternary,
    matrices,
    norms,
    shapes,
)

C = parse_config(CONFIG)


@needs_shared
def test_the_arrays_of_2b4t_are_those_of_the_real_header():
    header = json.loads((REAL / "model.safetensors.header.bin").read_bytes()[8:])
    del header["__metadata__"]
    assert len(header) == 542
    real = {name: tuple(entry["shape"]) for name, entry in header.items()}
    scales = [name for name in real if name.endswith("_scale")]
    assert len(scales) == 210
    assert {real.pop(name) for name in scales} == {(1,)}
    packed = {
        name: (shape[0] // 4, shape[1]) if is_ternary(name) else shape
        for name, shape in shapes(C).items()
    }
    assert packed == real
    assert [f"{name}_scale" in scales for name in packed] == [*map(is_ternary, packed)]


@pytest.mark.parametrize("content", [SMALL, SMALL_LLAMA], ids=["2b4t", "llama"])
def test_shapes_are_those_of_a_loaded_model(content, tmp_path):
    model, _ = mb.load(write_checkpoint(tmp_path, content))
    found = {EMBEDDING: model.embed_tokens, "model.norm.weight": model.norm}
    if model.lm_head is not model.embed_tokens:
        found[HEAD] = model.lm_head
    for layer, block in enumerate(model.layers):
        attention, mlp = block.self_attn, block.mlp
        gains = {
            "input_layernorm": block.input_layernorm,
            "self_attn.attn_sub_norm": attention.attn_sub_norm,
            "post_attention_layernorm": block.post_attention_layernorm,
            "mlp.ffn_sub_norm": mlp.ffn_sub_norm,
        }
        layers = (attention.qkv_proj, attention.o_proj, mlp.gate_up_proj, mlp.down_proj)
        codes = {
            name: unpack(packed, M)
            for group, linear in zip(GROUPS, layers, strict=True)
            for name, packed, M in zip(group, linear.packed, linear.rows, strict=True)
        }
        for name, array in (gains | codes).items():
            if array is not None:
                found[in_layer(layer, name)] = array
    stored = parse_stored(content)
    assert {name: array.shape for name, array in found.items()} == shapes(
        model.config, sub_norms=stored.sub_norms, tied=stored.tied
    )


def test_two_arrays_more_in_each_layer_and_one_more_in_all():
    most = shapes(C, sub_norms=True, tied=False)
    assert most.keys() - shapes(C, sub_norms=True, tied=True) == {HEAD}
    without = shapes(C, sub_norms=False, tied=False)
    assert {name.split(".", 3)[3] for name in most.keys() - without} == {
        "self_attn.attn_sub_norm.weight",
        "mlp.ffn_sub_norm.weight",
    }
    assert len(most) - len(without) == 2 * C.num_hidden_layers


def test_matrices_of_a_group_read_the_same_input():
    assert sorted(sum(GROUPS, ())) == sorted(matrices(C))
    for group in GROUPS:
        assert len({matrices(C)[name][1] for name in group}) == 1


def test_every_array_is_ternary_or_a_norm_or_holds_tokens():
    every = [*shapes(C, tied=False)]
    kinds = [(is_ternary(name), is_norm(name)) for name in every]
    assert kinds.count((True, False)) == 30 * 7
    assert kinds.count((False, True)) == 30 * 4 + 1
    assert [name for name, kind in zip(every, kinds, strict=True) if not any(kind)] == [
        EMBEDDING,
        HEAD,
    ]
    assert (True, True) not in kinds


def test_a_scale_is_neither_and_the_names_of_1bitllm_are_norms():
    q = in_layer(3, "self_attn.q_proj")
    assert not is_ternary(f"{q}_scale")
    assert not is_norm(f"{q}_scale")
    for name in (*norms(C), *ONEBITLLM.values()):
        assert is_norm(in_layer(3, name))
        assert not is_ternary(in_layer(3, name))


def test_each_array_has_a_gguf_name_of_its_own():
    names = {name: gguf_name(name) for name in shapes(C, tied=False)}
    assert len(set(names.values())) == len(names)
    # as listed by llama.cpp's gguf-py, gguf/constants.py, for the architecture "bitnet"
    in_a_block = {
        "attn_norm",
        *("attn_q", "attn_k", "attn_v", "attn_sub_norm", "attn_output"),
        *("ffn_norm", "ffn_gate", "ffn_up", "ffn_sub_norm", "ffn_down"),
    }
    assert set(names.values()) == {
        *("token_embd.weight", "output_norm.weight", "output.weight"),
        *(f"blk.{layer}.{name}.weight" for layer in range(30) for name in in_a_block),
    }


@pytest.mark.parametrize(
    ("name", "gguf"),
    [
        ("input_layernorm", "attn_norm"),
        ("self_attn.v_proj", "attn_v"),
        ("self_attn.o_proj", "attn_output"),
        ("post_attention_layernorm", "ffn_norm"),
        ("mlp.gate_proj", "ffn_gate"),
        ("mlp.up_proj", "ffn_up"),
    ],
)
def test_the_gguf_name_says_the_same(name, gguf):
    assert gguf_name(in_layer(12, name)) == f"blk.12.{gguf}.weight"
