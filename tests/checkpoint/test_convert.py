"""Every road between two forms keeps the codes, and says what it rounds."""

import itertools
import json
import re
import shutil
import tracemalloc
import warnings
from dataclasses import replace

import numpy as np
import pytest
from shared import REAL, needs_shared
from small import SMALL, SMALL_LLAMA

import minibitnet as mb
from minibitnet import bf16
from minibitnet.checkpoint import source as source_module
from minibitnet.checkpoint.convert import FORMS, as_directory, convert
from minibitnet.checkpoint.open import open_checkpoint
from minibitnet.checkpoint.source import opened
from minibitnet.checkpoint.synth import write_checkpoint
from minibitnet.checkpoint.togguf import PUBLISHED_KEYS
from minibitnet.checkpoint.togguftokenizer import tokenizer_metadata
from minibitnet.cli import main
from minibitnet.commands import bench
from minibitnet.files.gguf import read_gguf
from minibitnet.files.published import CONFIG
from minibitnet.files.tensorfile import (
    WEIGHTS,
    read_tensors,
    spec_of,
    write_tensors,
)
from minibitnet.packing import pack, unpack
from minibitnet.tokenizer import load_tokenizer
from minibitnet.weights import is_ternary

GGUF_FORMS = [form for form in FORMS if form not in ("packed", "bf16")]
IDS = [3, 17, 5, 60, 2]
SIZES = {
    "--hidden-size": 256,
    "--intermediate-size": 512,
    "--layers": 2,
    "--heads": 8,
    "--kv-heads": 2,
    "--context": 64,
}


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """A small packed checkpoint with a tokenizer, which every form can store."""
    directory = tmp_path_factory.mktemp("convert") / "packed"
    words = [str(word) for pair in SIZES.items() for word in pair]
    assert main(["synth", str(directory), *words]) == 0
    return directory


@pytest.fixture(scope="module")
def made(packed, tmp_path_factory):
    """The same in every form."""
    folder = tmp_path_factory.mktemp("forms")
    return {form: to(form, packed, folder, "made") for form in FORMS}


def to(form, path, folder, name, **how):
    target = folder / (f"{name}.gguf" if form in GGUF_FORMS else name)
    if target.exists():
        target = target.with_name(f"{form}-{target.name}")
    convert(path, target, form, **how)
    return target


def load(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mb.CheckpointWarning)
        return mb.load(path)


def quietly(form, path, folder, name="out", **how):
    """Convert, and what was said."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        target = to(form, path, folder, name, **how)
    return target, " ".join(str(warning.message) for warning in said)


def change(directory, folder, changes=None, **config):
    """A copy of a directory with other arrays and another config.json."""
    copy = folder / "changed"
    shutil.copytree(directory, copy)
    content = json.loads((copy / "config.json").read_text()) | config
    (copy / "config.json").write_text(json.dumps(content))
    arrays = {n: t.array for n, t in read_tensors(directory / WEIGHTS).items()}
    arrays |= changes or {}
    arrays = {name: array for name, array in arrays.items() if array is not None}
    specs = {name: spec_of(array) for name, array in arrays.items()}
    write_tensors(copy / WEIGHTS, specs, lambda name: [arrays[name]])
    return copy


def scales(directory, values):
    """Arrays with other scales, one after another from a list."""
    names = [n for n in read_tensors(directory / WEIGHTS) if n.endswith("_scale")]
    pairs = zip(names, itertools.cycle(values), strict=False)
    return {name: np.array([value], np.float32) for name, value in pairs}


def bit_linears(model):
    for block in model.layers:
        yield from (block.self_attn.qkv_proj, block.self_attn.o_proj)
        yield from (block.mlp.gate_up_proj, block.mlp.down_proj)


def codes_of(model):
    """The codes of every matrix, without what fills up its last band of rows."""
    return [
        unpack(packed, M)
        for layer in bit_linears(model)
        for packed, M in zip(layer.packed, layer.rows, strict=True)
    ]


def scales_of(model):
    return [scale for layer in bit_linears(model) for scale in layer.scales]


def assert_same_codes(found, expected):
    for mine, other in zip(codes_of(found), codes_of(expected), strict=True):
        np.testing.assert_array_equal(mine, other, strict=True)


@pytest.mark.parametrize("second", FORMS)
@pytest.mark.parametrize("first", FORMS)
def test_every_road_gives_the_same_model_and_tokenizer(
    made, packed, tmp_path, first, second
):
    target = to(second, made[first], tmp_path, "second")
    (model, tokenizer), (found, other) = load(packed), load(target)
    assert found.config == model.config
    assert_same_codes(found, model)
    assert scales_of(found) == scales_of(model)
    np.testing.assert_array_equal(mb.forward(found, IDS), mb.forward(model, IDS))
    for text in ("Once upon a time", " naïve 日本 12345\n\n x", "<|eot_id|>hi", ""):
        assert other.encode(text) == tokenizer.encode(text)
    messages = [{"role": "user", "content": "Hi"}]
    assert other.chat(messages) == tokenizer.chat(messages)
    if first == second or second == "packed":  # byte for byte, wherever it has been
        same = made[second]
        files = (
            (target, same) if target.is_file() else (target / WEIGHTS, same / WEIGHTS)
        )
        assert files[0].read_bytes() == files[1].read_bytes()


def test_a_long_way_round_comes_back_to_the_same_bytes(packed, tmp_path):
    here = packed
    for form in ("i2_s", "tq2_0", "tq1_0", "packed"):
        here = to(form, here, tmp_path, "stop")
    assert (here / WEIGHTS).read_bytes() == (packed / WEIGHTS).read_bytes()
    assert load(here)[0].config == load(packed)[0].config


def test_gguf_py_reads_the_same_numbers(made, packed):
    gguf = pytest.importorskip("gguf")
    tensors = read_tensors(packed / WEIGHTS)
    for form in ("tq1_0", "tq2_0"):
        reader = gguf.GGUFReader(made[form])
        found = {tensor.name: tensor for tensor in reader.tensors}
        matrix = found["blk.1.ffn_down.weight"]
        name = "model.layers.1.mlp.down_proj.weight"
        scale = bf16.widen(tensors[f"{name}_scale"].array)
        numbers = gguf.dequantize(matrix.data, matrix.tensor_type)
        expected = unpack(tensors[name].array).astype(np.float32) * scale
        np.testing.assert_array_equal(numbers, expected)
        rows = found["token_embd.weight"]
        assert rows.tensor_type.name == "BF16"
        field = reader.get_field("bitnet-b1.58.hidden_activation")
        assert field.contents() == "relu2"


def test_scales_of_float32_are_rounded_where_the_form_has_no_room(packed, tmp_path):
    odd = change(packed, tmp_path, scales(packed, (np.pi, 1.5, 1 / 3)))
    model, _ = load(odd)
    exact = [np.float32(value) for value in (np.pi, 1.5, 1 / 3)]
    for form, rounding in (
        ("packed", lambda scale: scale),
        ("i2_s", lambda scale: scale),
        ("tq1_0", lambda scale: np.float32(np.float16(scale))),
        ("tq2_0", lambda scale: np.float32(np.float16(scale))),
        ("bf16", lambda scale: bf16.widen(bf16.narrow(np.array(scale)))[()]),
    ):
        target, said = quietly(form, odd, tmp_path, form)
        found, _ = load(target)
        assert_same_codes(found, model)
        assert scales_of(found) == [rounding(scale) for scale in scales_of(model)]
        rounded = sum(bool(rounding(s) != s) for s in scales_of(model))
        assert rounded == (0 if form in ("packed", "i2_s") else 9)
        assert (f"{rounded} scales are rounded to" in said) is (rounded > 0)
    assert {*scales_of(model)} == {*exact}


@pytest.mark.parametrize("form", ["tq1_0", "tq2_0"])
@pytest.mark.parametrize("scale", [70_000.0, 1e-5, 1e-30])
def test_a_scale_that_float16_does_not_have_is_refused(packed, tmp_path, form, scale):
    odd = change(packed, tmp_path, scales(packed, (scale,)))
    with pytest.raises(
        mb.CheckpointError, match=r"_proj.*a scale that float16 has, foun"
    ):
        to(form, odd, tmp_path, "out")
    assert [path.name for path in tmp_path.iterdir()] == ["changed"]


def test_a_matrix_of_zeros_keeps_its_codes(packed, tmp_path):
    name = "model.layers.0.mlp.up_proj.weight"
    zeros = pack(np.zeros((512, 256), np.int8))
    odd = change(packed, tmp_path, {name: zeros})
    for form in ("tq1_0", "tq2_0", "i2_s"):
        target, said = quietly(form, odd, tmp_path, form)
        assert ("1 matrices are all zeros" in said) is (form != "i2_s")
        np.testing.assert_array_equal(
            open_checkpoint(target).tensors[name].array, zeros
        )


def masters(packed, folder, dtype):
    """A copy with full-precision masters."""
    rng = np.random.default_rng(7)
    changes = {}
    for name, tensor in read_tensors(packed / WEIGHTS).items():
        if tensor.dtype == "U8":
            M, N = 4 * tensor.shape[0], tensor.shape[1]
            values = rng.standard_normal((M, N), np.float32)
            changes[name] = (
                bf16.narrow(values) if dtype is None else values.astype(dtype)
            )
            changes[f"{name}_scale"] = None
    how = CONFIG["quantization_config"] | {"quantization_mode": "online"}
    return change(packed, folder, changes, quantization_config=how)


@pytest.mark.parametrize("dtype", [None, np.float16, np.float32])
def test_masters_are_quantized_once_and_otherwise_stay_as_they_are(
    packed, tmp_path, dtype
):
    directory = masters(packed, tmp_path, dtype)
    model, _ = load(directory)
    for form in ("packed", "i2_s"):
        found, _ = load(to(form, directory, tmp_path, form))
        assert_same_codes(found, model)
        assert scales_of(found) == scales_of(model)
        again, _ = load(quietly("bf16", tmp_path / f"{form}", tmp_path, f"m{form}")[0]
                        if form == "packed" else to("packed", tmp_path / "i2_s.gguf",
                                                    tmp_path, "p"))  # fmt: skip
        assert_same_codes(again, model)  # absmean would make it smaller
    same = to("bf16", directory, tmp_path, "same")
    assert (same / WEIGHTS).read_bytes() == (directory / WEIGHTS).read_bytes()
    assert load(same)[0].config == model.config


def test_a_master_that_is_not_finite_is_refused(packed, tmp_path):
    directory = masters(packed, tmp_path, np.float32)
    name = "model.layers.1.mlp.up_proj.weight"
    wrong = read_tensors(directory / WEIGHTS)[name].array.copy()
    wrong[3, 4] = np.inf
    (tmp_path / "wrong").mkdir()
    directory = change(directory, tmp_path / "wrong", {name: wrong})
    for form in FORMS:
        with pytest.raises(
            mb.CheckpointError, match=r"up_proj.*finite numbers, found in"
        ):
            to(form, directory, tmp_path / "wrong", "out")


def test_floats_are_bfloat16_where_that_is_exact(packed, tmp_path):
    rows = read_tensors(packed / WEIGHTS)["model.embed_tokens.weight"].array
    name = "model.embed_tokens.weight"
    halves = bf16.widen(rows).astype(np.float16)
    odd = halves.copy()
    odd[5, 5] = 1 + 2.0**-10
    infinite = bf16.widen(rows)
    infinite[9, 9] = np.inf
    for n, (array, dtype) in enumerate(
        [(halves, "BF16"), (odd, "F16"), (odd.astype(np.float32), "F32"),
         (infinite, "F32")]
    ):  # fmt: skip
        (tmp_path / str(n)).mkdir()
        changed = change(packed, tmp_path / str(n), {name: array})
        for form in ("packed", "bf16"):
            target = to(form, changed, tmp_path, f"{form}{n}")
            found = read_tensors(target / WEIGHTS)[name]
            assert found.dtype == dtype
            values = bf16.widen(found.array)
            np.testing.assert_array_equal(values, array.astype(np.float32))
        rows = open_checkpoint(to("i2_s", changed, tmp_path, f"g{n}")).tensors[name]
        assert rows.dtype == ("F16" if array.dtype == np.float16 else "F32")
        np.testing.assert_array_equal(rows.array, array)


def test_a_head_of_its_own_comes_along_and_a_copy_does_not(packed, tmp_path):
    rows = read_tensors(packed / WEIGHTS)["model.embed_tokens.weight"].array
    for tied, head, names in ((False, rows[::-1], 1), (True, rows, 0)):
        (tmp_path / str(tied)).mkdir()
        changed = change(
            packed,
            tmp_path / str(tied),
            {"lm_head.weight": head},
            tie_word_embeddings=tied,
        )
        expected = mb.forward(load(changed)[0], IDS)
        for form in FORMS:
            target = to(form, changed, tmp_path / str(tied), f"out{form}")
            np.testing.assert_array_equal(mb.forward(load(target)[0], IDS), expected)
            tensors = open_checkpoint(target).tensors
            assert len({"lm_head.weight"} & tensors.keys()) == names


def test_a_model_as_llama_has_no_gguf_file_but_directories(tmp_path):
    sizes = {"hidden_size": 256, "intermediate_size": 512, "head_dim": 64}
    llama = write_checkpoint(tmp_path / "llama", SMALL_LLAMA | sizes, seed=3)
    model, _ = load(llama)
    for form in ("packed", "bf16"):
        found, _ = load(quietly(form, llama, tmp_path, form)[0])
        assert_same_codes(found, model)
        if form == "packed":  # the scale multiplies now; to divide by it was the same
            assert found.config == model.config
            assert scales_of(found) == scales_of(model)
            assert np.array_equal(mb.forward(found, IDS), mb.forward(model, IDS))
    with pytest.raises(mb.CheckpointError, match="llama: expected sub-norms"):
        to("i2_s", llama, tmp_path, "out")


def test_names_of_1bitllm_are_those_of_2b4t_then(packed, tmp_path):
    changes = {}
    for name, tensor in read_tensors(packed / WEIGHTS).items():
        for mine, other in (("attn_sub_norm", "inner_attn_ln"),
                            ("ffn_sub_norm", "ffn_layernorm")):  # fmt: skip
            if mine in name:
                changes |= {name: None, name.replace(mine, other): tensor.array}
    renamed = change(packed, tmp_path, changes, hidden_act="silu")
    expected = mb.forward(load(renamed)[0], IDS)
    for form in FORMS:
        target = to(form, renamed, tmp_path, form)
        np.testing.assert_array_equal(mb.forward(load(target)[0], IDS), expected)
    metadata = read_gguf(tmp_path / "i2_s.gguf").metadata
    assert metadata["general.architecture"] == "bitnet"
    assert metadata["bitnet.hidden_activation"] == "silu"


def test_rows_that_are_no_whole_number_of_blocks_are_named(tmp_path):
    small = write_checkpoint(tmp_path / "small", SMALL, seed=3)
    for form, message in (
        ("i2_s", "of 128 weights, found [45]0"),
        ("tq2_0", "of 256 weights, found [45]0"),
    ):
        with pytest.raises(mb.CheckpointError, match=f"_proj.*{message}"):
            to(form, small, tmp_path, "out")
    found, _ = load(to("bf16", small, tmp_path, "master"))
    assert_same_codes(found, load(small)[0])


def test_what_is_missing_or_left_over_is_found_before_anything_is_written(
    packed, tmp_path
):
    for name, message in (
        ("model.layers.1.mlp.up_proj.weight", "found no such tensor"),
        ("model.norm.weight", "found no such tensor"),
    ):
        wrong = change(packed, tmp_path, {name: None})
        with pytest.raises(mb.CheckpointError, match=f"{name}, {message}"):
            to("i2_s", wrong, tmp_path, "out")
        shutil.rmtree(wrong)
    wrong = change(packed, tmp_path, {"model.bias": np.zeros(3, np.float32)})
    with pytest.raises(mb.CheckpointError, match="expected no such tensor"):
        to("i2_s", wrong, tmp_path, "out")


def test_the_largest_array_bounds_the_memory(tmp_path):
    content = CONFIG | {
        "hidden_size": 512,
        "intermediate_size": 512,
        "num_hidden_layers": 24,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "vocab_size": 20_000,
        "max_position_embeddings": 64,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    here = write_checkpoint(tmp_path / "large", content)
    largest = 20_000 * 512 * 2
    for form in ("i2_s", "tq1_0", "tq2_0", "bf16", "packed"):
        tracemalloc.start()
        here = to(form, here, tmp_path, form)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2 * largest  # the file has 65 MB, its masters 107


# The tokenizer and the metadata


def test_the_metadata_mend_what_the_published_file_lacks(made):
    metadata = read_gguf(made["i2_s"]).metadata
    assert metadata["tokenizer.ggml.pre"] == "llama-bpe"
    assert metadata["bitnet-b1.58.hidden_activation"] == "relu2"
    assert metadata["tokenizer.ggml.eos_token_id"] == 258
    assert "Assistant: " in metadata["tokenizer.chat_template"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mb.load(made["i2_s"])  # nothing is assumed


def test_both_ends_of_a_text_are_named(packed, tmp_path):
    ends = change(packed, tmp_path, eos_token_id=[257, 258])
    metadata = read_gguf(to("tq2_0", ends, tmp_path, "out")).metadata
    keys = [f"tokenizer.ggml.{name}_token_id" for name in ("eos", "eot")]
    assert [metadata[key] for key in keys] == [257, 258]
    back = to("packed", tmp_path / "out.gguf", tmp_path, "back")
    assert json.loads((back / "config.json").read_text())["eos_token_id"] == [257, 258]
    (ends / "generation_config.json").write_text('{"eos_token_id": [254, 255]}')
    with pytest.raises(mb.CheckpointError, match="at most 3 ends"):
        to("tq2_0", ends, tmp_path, "out", force=True)
    copied = to("packed", ends, tmp_path, "copied")
    assert (copied / "generation_config.json").exists()


def published(directory, tmp_path):
    target = tmp_path / "published.gguf"
    convert(directory, target, "i2_s", published=True)
    return target


def test_the_published_metadata_can_be_had_with_their_faults(packed, tmp_path):
    gguf = read_gguf(published(packed, tmp_path))
    assert [*gguf.metadata] == PUBLISHED_KEYS
    assert len(PUBLISHED_KEYS) == 24
    assert gguf.metadata["general.file_type"] == 40
    assert "BITNETAssistant: ' + eos_token" in gguf.metadata["tokenizer.chat_template"]
    assert gguf.tensors["token_embd.weight"].type == "F16"
    with pytest.warns(mb.CheckpointWarning, match=r"placeholder|by its architecture"):
        _, tokenizer = mb.load(gguf.file)
    _, expected = mb.load(packed)
    messages = [{"role": "user", "content": "Hi"}]
    assert tokenizer.chat(messages) == expected.chat(messages)
    again, said = quietly("packed", gguf.file, tmp_path)
    assert "the file's is a placeholder" in said
    assert (again / WEIGHTS).read_bytes() == (packed / WEIGHTS).read_bytes()
    assert load(again)[0].config == load(packed)[0].config


def test_an_embedding_that_float16_does_not_have_is_said_or_refused(packed, tmp_path):
    name = "model.embed_tokens.weight"
    rows = bf16.widen(read_tensors(packed / WEIGHTS)[name].array)
    rows[1, :3] = 1e-9, 1 + 2.0**-20, -(2.0**-24)
    (tmp_path / "a").mkdir()
    odd = change(packed, tmp_path / "a", {name: rows})
    _, said = quietly("i2_s", odd, tmp_path, published=True)
    assert "2 numbers of the embedding are rounded to float16" in said
    rows[1, 1] = 1e5
    (tmp_path / "b").mkdir()
    odd = change(packed, tmp_path / "b", {name: rows})
    with pytest.raises(ValueError, match=f"{name}: expected numbers that float16 has"):
        to("i2_s", odd, tmp_path, "no", published=True)


@needs_shared
def test_the_published_header_has_its_published_length(tmp_path):
    sizes = {"hidden_size": 256, "intermediate_size": 512, "head_dim": 128}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    directory = write_checkpoint(tmp_path / "real", CONFIG | sizes | heads)
    for file in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(REAL / file, directory / file)
    gguf = read_gguf(published(directory, tmp_path))
    end = max(t.data.nbytes for t in gguf.tensors.values())
    total = sum(-(-t.data.nbytes // 32) * 32 for t in gguf.tensors.values())
    assert len(gguf.tensors) == 332
    assert gguf.file.stat().st_size - total == 8_351_360
    assert end == 128_256 * 256 * 2
    assert len(gguf.metadata["tokenizer.ggml.merges"]) == 280_147


def test_a_published_file_needs_a_tokenizer_and_i2_s(packed, tmp_path):
    with pytest.raises(
        ValueError, match="as published: expected --to i2_s, found tq2_0"
    ):
        to("tq2_0", packed, tmp_path, "out", published=True)
    (tmp_path / "a").mkdir()
    mute = change(packed, tmp_path / "a")
    (mute / "tokenizer.json").unlink()
    with pytest.raises(ValueError, match="found no tokenizer.ggml.add_bos_token"):
        published(mute, tmp_path)
    silent = read_gguf(to("i2_s", mute, tmp_path, "mute")).metadata
    assert silent["tokenizer.ggml.eos_token_id"] == 258
    assert "tokenizer.ggml.tokens" not in silent
    assert load(to("packed", tmp_path / "mute.gguf", tmp_path, "back"))[1] is None


def test_ids_without_a_token_stay_without(packed, tmp_path):
    rows = np.zeros((263, 256), np.uint16)
    wider = change(
        packed, tmp_path, {"model.embed_tokens.weight": rows}, vocab_size=263
    )
    metadata = read_gguf(to("i2_s", wider, tmp_path, "out")).metadata
    assert metadata["tokenizer.ggml.tokens"][259:] == [
        f"[PAD{i}]" for i in range(259, 263)
    ]
    assert [*metadata["tokenizer.ggml.token_type"][257:]] == [3, 3, 5, 5, 5, 5]
    _, tokenizer = load(to("packed", tmp_path / "out.gguf", tmp_path, "back"))
    _, expected = load(packed)
    assert tokenizer.encode("[PAD259] x") == expected.encode("[PAD259] x")
    with pytest.raises(ValueError, match="ids must be those of tokens"):
        tokenizer.decode([260])


def edit(directory, name, change):
    page = json.loads((directory / name).read_text())
    change(page)
    (directory / name).write_text(json.dumps(page))


TOKENIZERS = {
    "merges that do not give way": (
        "tokenizer.json",
        lambda page: page["model"].update(ignore_merges=False),
        "expected ignore_merges",
    ),
    "two tokens before a text": (
        "tokenizer.json",
        lambda page: page["post_processor"]["single"].insert(
            0, page["post_processor"]["single"][0]
        ),
        "at most one token before a text",
    ),
    "another pattern": (
        "tokenizer.json",
        lambda page: page["pre_tokenizer"]["pretokenizers"].pop(0),
        "the pattern of Llama 3",
    ),
    "a token that only the template knows": (
        "tokenizer_config.json",
        lambda page: page.update(
            unk_token="<|eot_id|>", chat_template="{{ unk_token }}"
        ),
        "expected a chat template that names .* found unk_token",
    ),
    "an end that is none": (
        "tokenizer_config.json",
        lambda page: page.update(
            eos_token="<|begin_of_text|>", chat_template="{{ eos_token }}"
        ),
        "found eos_token",
    ),
}


@pytest.mark.parametrize(
    ("file", "edited", "message"), TOKENIZERS.values(), ids=TOKENIZERS
)
def test_a_tokenizer_that_gguf_cannot_tell_is_refused(
    packed, tmp_path, file, edited, message
):
    odd = change(packed, tmp_path)
    edit(odd, file, edited)
    with pytest.raises(mb.CheckpointError, match=message):
        to("i2_s", odd, tmp_path, "out")
    assert not (tmp_path / "out.gguf").exists()


def test_a_template_of_its_own_comes_along_with_its_names(packed, tmp_path):
    odd = change(packed, tmp_path, eos_token_id=[257, 258])
    template = "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"
    edit(
        odd,
        "tokenizer_config.json",
        lambda page: page.update(chat_template=template),
    )
    messages = [{"role": "user", "content": "Hi"}]
    expected = load(odd)[1].chat(messages)
    assert expected[-1] == 258  # <|eot_id|>, the second of the ends
    for form in FORMS:
        target = to(form, odd, tmp_path, form)
        assert load(target)[1].chat(messages) == expected
        assert {*load(target)[0].config.eos_token_ids} == {257, 258}


def test_a_tokenizer_that_puts_nothing_before_a_text(packed, tmp_path):
    odd = change(packed, tmp_path)
    edit(odd, "tokenizer.json", lambda page: page.update(post_processor=None))
    back = to("packed", to("i2_s", odd, tmp_path, "out"), tmp_path, "back")
    assert load_tokenizer(back).bos_ids == []
    assert "bos_token_id" not in json.loads((back / "config.json").read_text())


def test_ids_above_the_vocabulary_are_refused(packed):
    with pytest.raises(
        mb.CheckpointError, match=r"ids below vocab_size 100, found 258"
    ):
        tokenizer_metadata(packed, 100, [])


# What is at the target


def test_nothing_is_replaced_unasked(packed, made, tmp_path):
    for form in ("i2_s", "packed"):
        source = made["tq2_0"]
        target = tmp_path / ("m.gguf" if form == "i2_s" else "m")
        convert(source, target, form)
        with pytest.raises(ValueError, match="expected a n"):
            convert(source, target, form)
        convert(source, target, form, force=True)
        same = target if form == "i2_s" else target / WEIGHTS
        expected = made["i2_s"] if form == "i2_s" else packed / WEIGHTS
        assert same.read_bytes() == expected.read_bytes()


def test_what_another_checkpoint_left_goes_and_nothing_else(packed, made, tmp_path):
    target = tmp_path / "m"
    shutil.copytree(packed, target)
    (target / "notes.txt").write_text("mine")
    (target / "model-00001-of-00002.safetensors").write_bytes(b"old")
    (target / "chat_template.jinja").write_text("old")
    convert(made["i2_s"], target, "packed", force=True)
    assert sorted(file.name for file in target.iterdir()) == [
        "config.json",
        "model.safetensors",
        "notes.txt",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_force_replaces_checkpoints_alone(packed, tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"an empty directory, found 'a\.txt'"):
        convert(packed, tmp_path / "letters", "bf16", force=True)
    (tmp_path / "folder.gguf").mkdir()
    with pytest.raises(ValueError, match="expected a new file"):
        convert(packed, tmp_path / "folder.gguf", "i2_s", force=True)


def test_a_checkpoint_is_converted_in_its_own_place(packed, tmp_path):
    target = tmp_path / "m"
    shutil.copytree(packed, target)
    convert(target, target, "bf16", force=True)
    convert(target, target, "packed", force=True)
    assert (target / WEIGHTS).read_bytes() == (packed / WEIGHTS).read_bytes()


def test_what_fails_leaves_nothing(packed, tmp_path):
    bad = read_tensors(packed / WEIGHTS)["model.layers.1.mlp.down_proj.weight"]
    wrong = bad.array.copy()
    wrong[3, 4] = 0xFF
    odd = change(packed, tmp_path, {bad.name: wrong})
    for form in FORMS:
        with pytest.raises(mb.CheckpointError, match="found a 3 in byte"):
            to(form, odd, tmp_path, "out")
        assert [path.name for path in tmp_path.iterdir()] == ["changed"]


def test_an_error_in_a_gguf_file_names_the_file(made, tmp_path, monkeypatch):
    def refuse(directory):
        raise mb.CheckpointError(f"{directory / 'tokenizer.json'}: expected another")

    monkeypatch.setattr(source_module, "load_tokenizer", refuse)
    with pytest.raises(
        mb.CheckpointError, match=f"^{made['i2_s']}/tokenizer.json: exp"
    ):
        to("packed", made["i2_s"], tmp_path, "out")


def test_assumptions_are_said_once(packed, tmp_path):
    directory = masters(packed, tmp_path, np.float32)
    content = json.loads((directory / "config.json").read_text())
    del content["quantization_config"]["quantization_mode"]
    (directory / "config.json").write_text(json.dumps(content))
    _, said = quietly("i2_s", directory, tmp_path)
    assert said.count("full-precision matrices are made ternary") == 1


def test_opening_takes_all_and_reads_no_code(made):
    with opened(made["tq2_0"]) as model:
        kinds = {name: is_ternary(name) for name in model.taken}
    assert sum(kinds.values()) == 14
    assert replace(model.config, eos_token_ids=()).vocab_size == 259


# The command


def test_the_command_says_where_the_result_is(packed, tmp_path, run):
    target = tmp_path / "m.gguf"
    assert run("convert", packed, target, "--to", "tq1_0") == (0, f"{target}\n", "")
    status, out, err = run("convert", packed, target, "--to", "tq1_0")
    assert (status, out) == (2, "")
    assert (
        err == f"minibitnet: {target}: expected a new file, found one that is there\n"
    )
    odd = change(packed, tmp_path, scales(packed, (np.pi,)))
    status, out, err = run("convert", odd, target, "--to", "tq1_0", "--force")
    assert (status, out) == (0, f"{target}\n")
    assert err.startswith(
        f"minibitnet: note: {target}: 14 scales are rounded to float16"
    )
    status, _, err = run("convert", packed, tmp_path / "m", "--to", "i2_s")
    assert (status, err.count("\n")) == (2, 1)
    assert "m: expected the name of a file, NAME.gguf" in err
    status, _, err = run("convert", packed, tmp_path / "d.gguf", "--to", "packed")
    assert (status, err.count("\n")) == (2, 1)
    assert "d.gguf: expected the name of a directory" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["changed", "m.gguf"]


def test_a_large_file_is_announced(packed, tmp_path, run, monkeypatch):
    monkeypatch.setattr("minibitnet.checkpoint.convert.LARGE", 1000)
    _, _, err = run("convert", packed, tmp_path / "m", "--to", "bf16")
    assert err == "writing 0.0 GB\n"


def test_a_gguf_file_is_a_directory_for_a_while(packed, made):
    with as_directory(made["tq1_0"]) as directory:
        same = (directory / WEIGHTS).read_bytes() == (packed / WEIGHTS).read_bytes()
        assert same
    assert not directory.exists()
    with as_directory(packed) as directory:
        assert directory == packed
    assert packed.exists()


# What other commands make of a GGUF file


@pytest.fixture
def both(packed, made, run):
    """Run a command on the directory and on the GGUF file, and what each printed."""

    def both(*words):
        outputs = []
        for path in (packed, made["i2_s"]):
            status, out, _ = run(*(path if word == "M" else word for word in words))
            assert status == 0
            outputs.append(out)
        return outputs

    return both


def test_text_and_costs_are_those_of_the_directory(both):
    words = ("Once", "--seed", "1", "--max-new-tokens", "5")
    one, other = both("generate", *words, "--model", "M")
    assert one == other != ""
    one, other = both("costs", "--context", "10", "--model", "M")
    assert one == other


def test_a_gguf_file_is_inspected_as_it_is_stored(both, made, run):
    one, other = map(json.loads, both("inspect", "--json", "M"))
    assert one["codes"] == other["codes"]
    assert other["bytes"]["scales"] == 14 * 32
    assert other["bytes"]["headers"] > 0
    assert sum(other["bytes"].values()) == made["i2_s"].stat().st_size
    _, out, _ = run("inspect", made["tq2_0"], "--tensors")
    assert re.search(r"layers\.1\.mlp\.down_proj\.weight +TQ2_0 +64 x 512 +32,768", out)
    assert re.search(r"layers\.1\.mlp\.down_proj\.weight_scale +TQ2_0 +1 +1,024", out)


def test_a_gguf_file_is_traced_diagnosed_and_measured(made, tmp_path, run):
    file = made["i2_s"]
    assert run("trace", file, "--ids", "1,2", "--out", tmp_path / "t")[0] == 0
    status, out, _ = run("diagnose", tmp_path / "t", "--model", file)
    assert status == 0, out
    words = ("--ways", "auto", "--threads", "1", "--prefill", "2", "--decode", "2")
    status, out, _ = run("bench", "--model", file, "--rounds", "1", *words)
    assert (status, "| auto | 1 |" in out) == (0, True)


def test_transformers_is_given_a_directory(packed, made):
    with bench.checkpoint(str(made["i2_s"]), for_others=True) as directory:
        assert (directory / WEIGHTS).exists()
    with bench.checkpoint(str(made["i2_s"])) as file:
        assert file == made["i2_s"]
