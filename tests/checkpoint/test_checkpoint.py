import json
import os
import shutil
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

import minibitnet as mb
from minibitnet import CheckpointError, CheckpointWarning, bf16, one_page
from minibitnet.absmean import quantize_weights
from minibitnet.checkpoint.open import open_checkpoint
from minibitnet.files.tensorfile import (
    INDEX,
    WEIGHTS,
    read_tensors,
    spec_of,
    write_tensors,
)
from minibitnet.packing import pack
from minibitnet.weights import FFN_SUB_NORM, in_layer, matrices

LAYER = "model.layers.0"
IDS = [3, 1, 4, 1, 5, 9, 2, 6]


def write(directory, arrays, file=WEIGHTS):
    """Write arrays, uint16 as bfloat16."""
    specs = {name: spec_of(array) for name, array in arrays.items()}
    write_tensors(directory / file, specs, lambda name: [arrays[name]])


@pytest.fixture
def copy(checkpoint, tmp_path):
    """A directory to change, and its arrays."""
    directory = tmp_path / "copy"
    shutil.copytree(checkpoint, directory)
    tensors = read_tensors(checkpoint / WEIGHTS)
    return directory, {name: tensor.array for name, tensor in tensors.items()}


def change_config(directory, **changes):
    content = json.loads((directory / "config.json").read_text())
    (directory / "config.json").write_text(json.dumps(content | changes))


def logits(directory):
    return mb.forward(mb.load(directory)[0], IDS)


def test_the_weights_file_means_its_directory(copy):
    directory, _ = copy
    model, tokenizer = mb.load(directory / WEIGHTS)
    assert tokenizer is None
    assert_array_equal(mb.forward(model, IDS), logits(directory), strict=True)


def test_shards_make_the_same_model(copy):
    directory, arrays = copy
    expected = logits(directory)
    (directory / WEIGHTS).unlink()
    names = sorted(arrays)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    for file, held in shards.items():
        write(directory, {name: arrays[name] for name in held}, file)
    places = {name: file for file, held in shards.items() for name in held}
    (directory / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": places}))
    assert_array_equal(logits(directory), expected, strict=True)

    moved = places | {names[0]: "b.safetensors"}
    (directory / INDEX).write_text(json.dumps({"weight_map": moved}))
    with pytest.raises(
        CheckpointError, match=f"{names[0]}: expected in b.*, found in a"
    ):
        mb.load(directory)
    missing = places | {"lm_head.bias": "b.safetensors"}
    (directory / INDEX).write_text(json.dumps({"weight_map": missing}))
    with pytest.raises(
        CheckpointError, match="lm_head.bias: expected in b.*, found in no"
    ):
        mb.load(directory)


@pytest.mark.parametrize(
    "places",
    [
        None,
        {},
        {"a": 1},
        {"a": "../a"},
        {"a": "/etc/a"},
        "a",
        7,
        {"a": "x" * 300 + ".safetensors"},
        {"a": "a\0.safetensors"},
        {"a": ".."},
        {"a": "../m/a.safetensors"},
        {"a": "..\\a.safetensors"},
        {"a": "model.bin"},
        {"a": "\x1b[2J.safetensors"},
    ],
)
def test_an_index_that_is_none_is_refused(copy, places):
    directory, _ = copy
    (directory / WEIGHTS).unlink()
    (directory / INDEX).write_text(json.dumps({"weight_map": places}))
    with pytest.raises(CheckpointError, match=INDEX):
        mb.load(directory)


@pytest.mark.filterwarnings("ignore::minibitnet.CheckpointWarning")
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_masters_are_quantized_on_loading(copy, dtype):
    directory, arrays = copy
    config, said, _ = open_checkpoint(directory)
    shapes = {f"{name}.weight": shape for name, shape in matrices(config).items()}
    rng = np.random.default_rng(5)
    masters, packed = {}, {}
    for name, array in arrays.items():
        matrix = name.split(".", 3)[-1]
        if matrix in shapes:
            master = rng.standard_normal(shapes[matrix]).astype(dtype)
            w_codes, w_scale = quantize_weights(master.astype(np.float32))
            masters[name] = master
            packed[name] = pack(w_codes)
            stored = 1 / w_scale if said.scale_divides else w_scale
            packed[name + "_scale"] = np.float32([stored])
        elif not name.endswith("_scale"):
            masters[name] = packed[name] = array
    write(directory, packed)
    expected = logits(directory)
    write(directory, masters)
    # 1 / (1 / scale) may be one bit off
    np.testing.assert_allclose(logits(directory), expected, rtol=1e-4, atol=1e-4)


def test_full_precision_weights_of_another_model_are_refused(copy):
    directory, arrays = copy
    change_config(directory, architectures=["LlamaForCausalLM"], model_type="llama")
    change_config(directory, quantization_config=None)
    name = f"{LAYER}.self_attn.q_proj.weight"
    arrays[name] = np.ones((24, 40), np.float32)
    write(directory, arrays)
    with pytest.raises(CheckpointError, match=f"{name}: expected a BitNet model"):
        mb.load(directory)


def test_a_scale_multiplies_or_divides_as_the_config_says(copy):
    directory, arrays = copy
    for name in arrays:
        if name.endswith("_scale"):
            arrays[name] = np.float32([2 ** (len(name) % 3)])
    write(directory, arrays)
    for linear_class, power in (("autobitlinear", 1), ("bitlinear", -1)):
        change_config(
            directory,
            quantization_config={
                "quant_method": "bitnet",
                "linear_class": linear_class,
            },
        )
        model, _ = mb.load(directory)
        for matrix, projection in (
            ("self_attn.q_proj", model.layers[0].self_attn.qkv_proj.scales[0]),
            ("self_attn.o_proj", model.layers[0].self_attn.o_proj.scales[0]),
            ("mlp.up_proj", model.layers[0].mlp.gate_up_proj.scales[1]),
            ("mlp.down_proj", model.layers[0].mlp.down_proj.scales[0]),
        ):
            assert projection == arrays[f"{LAYER}.{matrix}.weight_scale"][0] ** power


def test_the_other_names_of_the_sub_norms_are_known(copy):
    directory, arrays = copy
    if f"{LAYER}.mlp.ffn_sub_norm.weight" not in arrays:
        pytest.skip("a model without sub-norms")
    expected = logits(directory)
    change_config(directory, model_type="llama", rope_theta=500000.0)
    renamed = {
        name.replace("attn_sub_norm", "inner_attn_ln").replace(
            "ffn_sub_norm", "ffn_layernorm"
        ): array
        for name, array in arrays.items()
    }
    write(directory, renamed)
    assert_array_equal(logits(directory), expected, strict=True)


@pytest.mark.parametrize("said", [True, False, None])
def test_a_head_of_its_own_is_used(copy, said):
    directory, arrays = copy
    head = arrays["model.embed_tokens.weight"].copy()
    head[-1, -1] ^= 1  # the last bit of the last number
    write(directory, arrays | {"lm_head.weight": head})
    change_config(directory, tie_word_embeddings=said)
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        model = mb.load(directory)[0]
    assert_array_equal(model.lm_head, head, strict=True)
    if said:  # and it is not so: one line says what was taken
        [note] = noted
        assert note.category is CheckpointWarning
        assert note.filename == __file__
        assert str(note.message).startswith(f"{directory}/model.safetensors: lm_head")
        assert "is not the embedding" in str(note.message)
    else:
        assert not noted


def test_a_copy_of_the_embedding_is_the_embedding(copy):
    directory, arrays = copy
    head = arrays["model.embed_tokens.weight"]
    write(directory, arrays | {"lm_head.weight": head})
    change_config(directory, tie_word_embeddings=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tied = mb.load(directory)[0]
    assert tied.lm_head is tied.embed_tokens


def test_the_page_takes_the_same_head(copy):
    directory, arrays = copy
    head = arrays["model.embed_tokens.weight"][::-1]
    write(directory, arrays | {"lm_head.weight": head})
    change_config(directory, tie_word_embeddings=True)
    page = one_page.forward(*one_page.load(directory), IDS, [])
    with pytest.warns(CheckpointWarning):
        assert_array_equal(logits(directory), page, strict=True)


@pytest.fixture
def masters(copy):
    """A directory with masters."""
    directory, arrays = copy
    rng = np.random.default_rng(3)
    for name, (M, N) in matrices(open_checkpoint(directory).config).items():
        for layer in range(3):
            arrays[in_layer(layer, name)] = rng.standard_normal((M, N), np.float32)
            del arrays[in_layer(layer, name) + "_scale"]
    write(directory, arrays)
    if f"{LAYER}.{FFN_SUB_NORM}.weight" not in arrays:
        pytest.skip("a model without sub-norms")
    return directory


@pytest.mark.parametrize(
    ("changes", "is_said"),
    [
        ({"quantization_config": None}, False),
        ({"quantization_config": {"quant_method": "bitnet"}}, False),
        ({"quantization_config": {"quantization_mode": "offline"}}, False),
        ({"quantization_config": {"quantization_mode": "online"}}, True),
        ({"quantization_config": None, "weight_bits": 1, "input_bits": 8}, True),
    ],
)
def test_masters_that_nobody_calls_so_are_noted_once(masters, changes, is_said):
    change_config(masters, **changes)
    with warnings.catch_warnings(record=True) as noted:
        warnings.simplefilter("always")
        mb.load(masters)
    if is_said:
        assert not noted
    else:
        [note] = noted
        assert note.category is CheckpointWarning
        assert "made ternary, which transformers would not" in str(note.message)
        assert '"quantization_mode": "online"' in str(note.message)


@pytest.mark.parametrize("said", [None, {}, {"quantization_mode": "offline"}])
def test_packed_weights_of_which_nobody_says_how_they_scale_are_refused(copy, said):
    directory, _ = copy
    change_config(directory, quantization_config=said)
    with pytest.raises(CheckpointError) as caught:
        mb.load(directory)
    assert "q_proj.weight_scale: expected in config.json" in str(caught.value)
    assert '{"quant_method": "bitnet", "linear_class": X}' in str(caught.value)
    for word in ("autobitlinear", "bitlinear"):  # what would settle it
        assert f'"{word}"' in str(caught.value)
        settled = {"quant_method": "bitnet", "linear_class": word}
        change_config(directory, quantization_config=settled)
        mb.load(directory)


def test_the_first_words_for_autobitlinear_mean_it(copy):
    directory, _ = copy
    change_config(directory, quantization_config={"linear_class": "autobitlinear"})
    expected = logits(directory)
    first = {"quant_method": "bitnet", "offline_quantization": True}
    change_config(directory, quantization_config=first)
    assert_array_equal(logits(directory), expected, strict=True)


def test_modules_left_as_they_are_are_looked_for_in_the_file(copy):
    directory, _ = copy
    quantization = {"quant_method": "bitnet", "linear_class": "autobitlinear"}
    for names in (["model.embed_tokens", "lm_head", "model.norm"], ["lm_head$"], []):
        named = quantization | {"modules_to_not_convert": names}
        change_config(directory, quantization_config=named)
        mb.load(directory)
    named = quantization | {"modules_to_not_convert": ["model.layers.2.mlp"]}
    change_config(directory, quantization_config=named)
    with pytest.raises(
        CheckpointError,
        match=r"config.json: quantization_config: modules_to_not_convert: expected no "
        r"ternary matrix \(model.layers.2.mlp.\w+ is one\), found 'model.layers.2.mlp'",
    ):
        mb.load(directory)


def test_without_a_head_the_embedding_is_one_unless_the_config_says_no(copy):
    directory, arrays = copy
    arrays.pop("lm_head.weight", None)
    write(directory, arrays)
    change_config(directory, tie_word_embeddings=None)
    model = mb.load(directory)[0]
    assert model.lm_head is model.embed_tokens
    change_config(directory, tie_word_embeddings=False)
    with pytest.raises(CheckpointError, match="expected lm_head.weight, found no such"):
        mb.load(directory)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_an_embedding_of_another_float_is_used_as_it_is(copy, dtype):
    directory, arrays = copy
    expected = logits(directory)
    names = {"model.embed_tokens.weight", "lm_head.weight"} & arrays.keys()
    wide = {name: bf16.widen(arrays[name]).astype(dtype) for name in names}
    if dtype == np.float16:  # which rounds the smallest
        rounded = {name: array.astype(np.float32) for name, array in wide.items()}
        write(directory, arrays | rounded)
        expected = logits(directory)
    write(directory, arrays | wide)
    assert_array_equal(logits(directory), expected, strict=True)


def test_frequencies_that_older_files_carry_are_passed_over(copy):
    directory, arrays = copy
    expected = logits(directory)
    extra = f"{LAYER}.self_attn.rotary_emb.inv_freq"
    write(directory, arrays | {extra: np.ones(3, np.float32)})
    assert_array_equal(logits(directory), expected, strict=True)


Q = f"{LAYER}.self_attn.q_proj.weight"
GAIN = f"{LAYER}.input_layernorm.weight"


@pytest.mark.parametrize(
    ("name", "array", "expected", "found"),
    [
        (Q, None, Q, "no such tensor"),
        (Q, np.zeros((7, 40), np.uint8), r"shape \(6, 40\)", r"\(7, 40\)"),
        (Q, np.zeros((24, 40), np.uint8), r"shape \(6, 40\)", r"\(24, 40\)"),
        (Q, np.zeros((6, 40), np.float32), r"shape \(24, 40\)", r"\(6, 40\)"),
        (
            Q,
            np.full((6, 40), 0b01_10_11_00, np.uint8),
            "2-bit codes",
            r"a 3 in byte \(0, 0\)",
        ),
        (Q, np.full((24, 40), np.nan, np.float32), "finite numbers", "nan"),
        (Q + "_scale", None, "weight_scale", "no such tensor"),
        (Q + "_scale", np.float32([np.nan]), "finite numbers", "nan"),
        (Q + "_scale", np.float32([np.inf]), "finite numbers", "inf"),
        (Q + "_scale", np.float32([1e-39]), "a number above 0", "e-39"),
        (Q + "_scale", np.float32([0]), "a number above 0", "0.0"),
        (Q + "_scale", np.float32([-1]), "a number above 0", "-1.0"),
        (Q + "_scale", np.float32([1, 1]), r"shape \(1,\)", r"\(2,\)"),
        (Q + "_scale", np.uint8([1]), "dtype BF16", "U8"),
        (GAIN, np.ones(41, np.float32), r"shape \(40,\)", r"\(41,\)"),
        (GAIN, np.float32([np.inf] * 40), "finite numbers", "inf"),
        ("model.norm.weight", None, "model.norm.weight", "no such tensor"),
        ("model.embed_tokens.weight", np.zeros((97, 40), np.uint8), "dtype BF16", "U8"),
        (
            "model.embed_tokens.weight",
            np.zeros((96, 40), np.uint16),
            r"\(97, 40\)",
            "96",
        ),
        (
            f"{LAYER}.self_attn.q_proj.bias",
            np.ones(24, np.float32),
            "no such tensor",
            "one",
        ),
        (
            "model.layers.3.input_layernorm.weight",
            np.ones(40, np.float32),
            "no such",
            "one",
        ),
    ],
)
def test_a_tensor_that_is_not_what_it_should_be_is_named(
    copy, name, array, expected, found
):
    directory, arrays = copy
    arrays.pop(name, None)
    write(directory, arrays if array is None else arrays | {name: array})
    with pytest.raises(
        CheckpointError,
        match=rf"{WEIGHTS}: .*{name}.*{expected}.*found.*{found}|"
        rf"{WEIGHTS}: expected {name}, found {found}",
    ):
        mb.load(directory)


@pytest.mark.parametrize("model_type", ["bitnet", "llama"])
def test_sub_norms_that_are_missing_are_named(copy, model_type):
    directory, arrays = copy
    name = f"{LAYER}.mlp.ffn_sub_norm.weight"
    if arrays.pop(name, None) is None:
        pytest.skip("a model without sub-norms")
    write(directory, arrays)
    # whoever has them in one layer has them in all
    change_config(directory, model_type=model_type, architectures=["LlamaForCausalLM"])
    with pytest.raises(CheckpointError, match=f"expected {name}, found no such tensor"):
        mb.load(directory)


def test_more_layers_than_there_are_fail_at_once(copy):
    directory, _ = copy
    change_config(directory, num_hidden_layers=2**31 - 1)
    with pytest.raises(CheckpointError, match="layers.3.* found no such tensor"):
        mb.load(directory)


@pytest.mark.parametrize("missing", ["config.json", WEIGHTS])
def test_a_directory_that_lacks_a_file_is_refused(copy, missing):
    directory, _ = copy
    (directory / missing).unlink()
    with pytest.raises(CheckpointError, match=missing):
        mb.load(directory)


@pytest.mark.parametrize(
    "name", ["config.json", "generation_config.json", WEIGHTS, INDEX]
)
@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo, lambda p: p.symlink_to("x")])
def test_what_is_no_file_is_refused_by_name(copy, name, make):
    directory, _ = copy
    if name == INDEX:
        (directory / WEIGHTS).unlink()
    path = directory / name
    path.unlink(missing_ok=True)
    make(path)  # a folder, a pipe, a link to nothing
    with pytest.raises(CheckpointError, match=f"{name}: (expected a file|No such)"):
        mb.load(directory)


@pytest.mark.parametrize("name", ["config.json", WEIGHTS])
def test_a_pointer_of_git_lfs_is_called_one(copy, name):
    directory, _ = copy
    (directory / name).write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(CheckpointError, match=f"{name}: .* a Git LFS pointer"):
        mb.load(directory)


@pytest.mark.parametrize(
    ("name", "size"),
    [("config.json", 2**20), ("generation_config.json", 2**20), (INDEX, 2**24)],
)
def test_a_page_of_json_that_is_too_large_is_not_read(copy, name, size):
    directory, _ = copy
    if name == INDEX:
        (directory / WEIGHTS).unlink()
    (directory / name).write_bytes(b'{"a": [' + b"[]," * (size // 3) + b"[]]}")
    with pytest.raises(CheckpointError, match=f"{name}: expected at most {size} bytes"):
        mb.load(directory)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="expected a directory with a checkpoint"):
        mb.load(tmp_path / "not" / "there")
    file = tmp_path / "model.bin"
    file.write_bytes(b"GGUF")
    with pytest.raises(CheckpointError, match=r"expected a directory, .* found a file"):
        mb.load(file)


def test_an_unknown_kernel_is_refused_before_anything_is_read():
    with pytest.raises(ValueError, match="kernel must be one of .*, got 'fast'"):
        mb.load("no/such/place/here", kernel="fast")


def test_the_large_arrays_stay_in_the_file(copy):
    directory, _ = copy
    model, _ = mb.load(directory)
    for array in (model.embed_tokens, model.lm_head):
        assert not array.flags.owndata
        assert not array.flags.writeable  # as the map is


@pytest.mark.filterwarnings("ignore::minibitnet.CheckpointWarning")
def test_what_is_ternary_already_is_not_shrunk(copy):
    # Some releases have codes times scale in place of masters. The mean of their sizes
    # is smaller than the scale, by the share of zeros.
    directory, arrays = copy
    change_config(directory, quantization_config={"quant_method": "bitnet"})
    codes = np.tile(np.int8([-1, 0, 0, 1]), (24, 10))
    arrays[Q] = codes * np.float32(3.5)
    del arrays[Q + "_scale"]
    write(directory, arrays)
    model, _ = mb.load(directory)
    layer = model.layers[0].self_attn.qkv_proj
    assert layer.scales[0] == 3.5
    x_codes = np.arange(40, dtype=np.int8)[None]
    assert_array_equal(layer.multiply(x_codes)[0], x_codes @ codes.T.astype(np.int32))


def test_a_head_that_is_tied_must_fit_all_the_same(copy):
    directory, arrays = copy
    change_config(directory, tie_word_embeddings=True)
    write(directory, arrays | {"lm_head.weight": np.zeros((3, 40), np.uint16)})
    with pytest.raises(
        CheckpointError, match=r"lm_head.weight: expected shape \(97, 40\)"
    ):
        mb.load(directory)


def test_a_name_that_is_too_long_is_refused():
    with pytest.raises(CheckpointError, match="aaa: File name too long"):
        mb.load("a" * 5000)


# Whatever becomes of a file, loading gives a model or says what is wrong.


def load_or_refuse(directory):
    tracemalloc.start()
    complaint = ""
    try:
        model, _ = mb.load(directory)
        mb.forward(model, [0])
    except CheckpointError as error:
        complaint = str(error)
    except FloatingPointError:  # a flipped bit can be huge
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert not complaint or str(directory) in complaint
    size = sum(file.stat().st_size for file in directory.iterdir())
    assert peak < 20 * size + 2**20  # a small multiple of the files


mutations = settings(
    max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


HOW = {
    "overwrite": lambda content, new: new + content[len(new) :],
    "cut": lambda content, new: b"",
    "insert": lambda content, new: new + content,
    "remove": lambda content, new: content[7 * len(new) :],
}


@pytest.fixture
def original(copy):
    """The directory to change, and its files as they were."""
    directory, _ = copy
    return directory, {file.name: file.read_bytes() for file in directory.iterdir()}


@pytest.mark.filterwarnings("ignore::minibitnet.CheckpointWarning")
@mutations
@given(data=st.data(), how=st.sampled_from(sorted(HOW)), new=st.binary(max_size=9))
def test_damaged_weights_load_or_are_refused(original, data, how, new):
    directory, files = original
    content = files[WEIGHTS]
    header = 8 + int.from_bytes(content[:8], "little")
    # half of the damage in the header, where it matters most
    at = data.draw(st.integers(0, header - 1) | st.integers(0, len(content) - 1))
    (directory / WEIGHTS).write_bytes(content[:at] + HOW[how](content[at:], new))
    load_or_refuse(directory)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)


@pytest.mark.filterwarnings("ignore::minibitnet.CheckpointWarning")
@mutations
@given(data=st.data())
def test_a_config_with_any_value_loads_or_is_refused(original, data):
    directory, files = original
    content = json.loads(files["config.json"])
    others = ["head_dim", "rope_parameters", "rope_scaling"]
    key = data.draw(st.sampled_from([*content, *others]))
    content[key] = data.draw(JSON | st.sampled_from([2**31, 2**63, 1e308, -0.0]))
    (directory / "config.json").write_text(json.dumps(content))
    load_or_refuse(directory)
