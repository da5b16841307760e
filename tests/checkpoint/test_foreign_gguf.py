"""GGUF files that gguf-py writes, of models whose logits transformers recorded."""

import warnings

import numpy as np
import pytest
from test_transformers import GOLDEN, assert_agrees

import minibitnet as mb
from minibitnet import bf16
from minibitnet.checkpoint.open import open_checkpoint
from minibitnet.checkpoint.synth import write_checkpoint
from minibitnet.checkpoint.take import Arrays
from minibitnet.files.published import CONFIG
from minibitnet.packing import unpack
from minibitnet.weights import gguf_name, matrices

gguf = pytest.importorskip("gguf")
CASES = ("master_tied", "master_untied", "packed_divides", "packed_one_token",
         "packed_tied", "packed_untied")  # fmt: skip
TYPES = gguf.GGMLQuantizationType


def arrays_of(directory):
    """Every array of a directory by its GGUF name, as float32."""
    checkpoint = open_checkpoint(directory)
    arrays = {}
    for name, tensor in checkpoint.tensors.items():
        if tensor.dtype == "U8":
            M, N = matrices(checkpoint.config)[name.split(".", 3)[3][: -len(".weight")]]
            stem = name.removesuffix(".weight")
            _, scale = Arrays(checkpoint).ternary(stem, M, N)
            arrays[gguf_name(name)] = unpack(tensor.array, M).astype(np.float32) * scale
        elif not name.endswith("_scale"):
            arrays[gguf_name(name)] = bf16.widen(tensor.array)
    return checkpoint.config, arrays


def write(file, config, arrays, type_of):
    writer = gguf.GGUFWriter(file, "bitnet-b1.58")
    writer.add_vocab_size(config.vocab_size)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_theta)
    writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
    writer.add_rope_scaling_factor(1.0)  # by which nothing is scaled
    writer.add_eos_token_id(1)
    add_arrays(writer, arrays, type_of)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def add_arrays(writer, arrays, type_of):
    for name, values in arrays.items():
        type_ = type_of(name, values)
        raw = gguf.quantize(np.ascontiguousarray(values), type_)
        plain = type_ in (TYPES.F32, TYPES.F16)
        writer.add_tensor(name, raw, raw_dtype=None if plain else type_)


def load(file):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mb.CheckpointWarning)
        return mb.load(file)[0]


@pytest.mark.parametrize("rows", [TYPES.F32, TYPES.BF16], ids=lambda type_: type_.name)
@pytest.mark.parametrize("case", CASES)
def test_logits_are_those_of_transformers(tmp_path, case, rows):
    def type_of(name, values):
        return rows if values.ndim == 2 and rows in exact(values) else TYPES.F32

    config, arrays = arrays_of(GOLDEN / case)
    model = load(write(tmp_path / "m.gguf", config, arrays, type_of))
    assert model.embed_tokens.dtype == (np.float32 if rows == TYPES.F32 else np.uint16)
    with np.load(GOLDEN / case / "recorded.npz") as recorded:
        logits = mb.forward(model, recorded["ids"])
        assert_agrees(logits, recorded["logits"])
        expected = mb.forward(mb.load(GOLDEN / case)[0], recorded["ids"])
    np.testing.assert_array_equal(logits, expected)


def exact(values):
    """The types that keep numbers as they are."""
    same = (bf16.widen(bf16.narrow(values)) == values).all()
    return (TYPES.F32, TYPES.BF16) if same else (TYPES.F32,)


@pytest.mark.parametrize("type_", [TYPES.TQ1_0, TYPES.TQ2_0], ids=lambda t: t.name)
def test_blocks_that_gguf_py_quantizes_are_the_model(tmp_path, type_):
    wide = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 97}
    ends = {"bos_token_id": 1, "eos_token_id": 2, "max_position_embeddings": 64}
    directory = write_checkpoint(tmp_path / "d", CONFIG | wide | heads | ends, seed=2)
    config, arrays = arrays_of(directory)

    def type_of(name, values):
        if values.ndim == 1:
            return TYPES.F32
        return TYPES.F16 if name.startswith("token_embd") else type_

    model = load(write(tmp_path / "m.gguf", config, arrays, type_of))
    assert model.embed_tokens.dtype == np.float16
    ids = [3, 17, 5, 60, 2]
    half = arrays["token_embd.weight"].astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(half, arrays["token_embd.weight"])
    expected = mb.forward(mb.load(directory)[0], ids)
    np.testing.assert_array_equal(mb.forward(model, ids), expected)
