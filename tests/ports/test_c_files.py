# Files that are wrong end in one line and status 1; never in another memory, never in a
# wait, and never in a text that the page would not write.

import json
import os
import random
import shutil

import numpy as np
import pytest
from cport import RECORDED, join, needs_compiler, run_c
from test_c import read_safetensors, write_safetensors

from minibitnet import one_page
from minibitnet.stories import BUILT_IN

pytestmark = needs_compiler
IDS = [0, 1, 5, 36]
ALL = join(IDS)


@pytest.fixture
def small(tmp_path):
    directory = tmp_path / "small"
    shutil.copytree(RECORDED / "packed_tied", directory)
    return directory


def refused(program, directory, ids=ALL):
    """The one line that a refusal is."""
    status, out, errors = run_c(program, directory, ids, 3)
    assert (status, out) == (1, b""), errors
    assert errors.startswith("bitnet: ")
    assert errors.endswith("\n")
    assert errors[:-1].isprintable(), errors
    return errors


CHANGES = {  # of config.json: None takes a key out
    "hidden_size": [None, 59, 0, -60, 60.0, "60", True, 10**30],
    "num_attention_heads": [None, 7, 0],
    "num_key_value_heads": [None, 3],
    "num_hidden_layers": [None, 1, 3, 10**7],
    "vocab_size": [None, 100, 102],
    "head_dim": [5, 8],
    "intermediate_size": [None, 147],
    "hidden_act": [None, "gelu", 3],
    "model_type": [None, "qwen2"],
    "rms_norm_eps": [0, -1, "1e-5", [], 1e9],
    "rope_theta": [0, "x", [1]],
    "rope_scaling": [{"rope_type": "yarn", "factor": 2}, {"factor": 2.0}],
    "rope_parameters": [{"rope_type": "linear"}, {"rope_theta": "x"}],
    "quantization_config": [
        None,
        {"quant_method": "gptq"},
        {"quant_method": "bitnet", "linear_class": "other"},
        {"quant_method": "bitnet", "use_rms_norm": True},
        {"quant_method": "bitnet", "modules_to_not_convert": ["model.layers.0"]},
        {"linear_class": "autobitlinear", "offline_quantization": True},
    ],
    "tie_word_embeddings": [False],
    "attention_bias": [True],
    "sliding_window": [512],
    "qk_norm": [1],
    "logits_scaling": [2.0],
    "architectures": [["GemmaForCausalLM"]],
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key in CHANGES for value in CHANGES[key]]
)
def test_a_config_that_asks_for_another_model_is_refused(sanitized, small, key, value):
    file = small / "config.json"
    content = json.loads(file.read_text())
    content.pop(key, None)
    if value is not None:
        content[key] = value
    file.write_text(json.dumps(content))
    refused(sanitized, small)


NO_JSON = r"""
[] | { | {"a"} | {"a": } | {"a": 01} | {"a": 1.} | {"a": +1} | {"a": NaN} | {"a": 1}} |
{"a": "\ud800"} | {"a": "\u12"} | {"a": "\x"} | {"a": "\u0000"} | {"a": tru} | {"a": " |
{"a": 1 "b": 2} | {"a": 1,} | {"a": "\ | {"hidden_size": 60, "hidden_size": 61}
""".split(" |")


@pytest.mark.parametrize("text", [*NO_JSON, "", "[" * 10**5, "\ufeff{}", '{"a": "\n"}'])
def test_what_is_no_json_is_refused(sanitized, small, text):
    (small / "config.json").write_text(text, encoding="utf-8")
    refused(sanitized, small)


def test_a_name_from_a_file_cannot_steer_the_terminal(sanitized, small):
    content = json.loads((small / "config.json").read_text())
    (small / "config.json").write_text(json.dumps(content | {"a\x1b[2J\n": 1}))
    assert "a?[2J?" in refused(sanitized, small)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("instead", ["nothing", "a folder", "a pipe", "no letters"])
def test_what_is_no_such_file_is_refused(sanitized, small, name, instead):
    file = small / name
    file.unlink()
    if instead == "a folder":
        file.mkdir()
    elif instead == "a pipe":
        os.mkfifo(file)
    elif instead == "no letters":
        file.write_bytes(b"\xff" * 99)
    refused(sanitized, small)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("model.norm", ("F32", [60], b"\0\0\x80\x7f" * 60)),
        ("model.norm", ("F32", [60], b"\0\0\xc0\x7f" * 60)),
        ("model.norm", ("F32", [1, 60], b"\0\0\x80\x3f" * 60)),
        ("model.norm", ("F32", [59], b"\0\0\x80\x3f" * 59)),
        ("model.norm", ("I64", [60], bytes(480))),
        ("model.embed_tokens", ("U8", [101, 60], bytes(6060))),
        ("model.embed_tokens", ("BF16", [101, 60], b"\xc0\xff" * 6060)),
        ("model.layers.0.self_attn.q_proj", ("U8", [15, 60], b"\xff" * 900)),
        ("model.layers.0.self_attn.q_proj", ("U8", [60, 15], bytes(900))),
        ("model.layers.0.self_attn.q_proj", ("F32", [60, 60], b"\0\0\x80\x3f" * 3600)),
        ("model.layers.0.self_attn.attn_sub_norm", None),
        ("model.layers.7.self_attn.q_proj", ("U8", [15, 60], bytes(900))),
        ("model.layers.0.self_attn.q_norm", ("F32", [6], bytes(24))),
    ],
)
def test_an_array_that_is_not_the_one_asked_for_is_refused(
    sanitized, small, name, change
):
    file = small / "model.safetensors"
    arrays = read_safetensors(file)
    arrays.pop(f"{name}.weight", None)
    if change:
        dtype, shape, raw = change
        arrays[f"{name}.weight"] = {"dtype": dtype, "shape": shape}, raw
    if "q_proj" in name and change and change[0] == "F32":  # ternary already
        content = json.loads((small / "config.json").read_text())
        content["quantization_config"].pop("quantization_mode")
        (small / "config.json").write_text(json.dumps(content))
        arrays.pop(f"{name}.weight_scale")
    write_safetensors(file, arrays)
    assert name in refused(sanitized, small)


@pytest.mark.parametrize("scale", [0.0, -1.0, np.inf, np.nan, 1e-40])
def test_a_scale_that_is_none_is_refused(sanitized, small, scale):
    file, name = small / "model.safetensors", "model.layers.1.mlp.up_proj"
    arrays = read_safetensors(file)
    raw = np.float32([scale]).tobytes()
    arrays[f"{name}.weight_scale"] = {"dtype": "F32", "shape": [1]}, raw
    write_safetensors(file, arrays)
    assert name in refused(sanitized, small)


def test_numbers_that_become_infinite_end_at_their_stage(sanitized, small):
    file = small / "model.safetensors"
    arrays = read_safetensors(file)
    for name in ("input_layernorm", "post_attention_layernorm"):
        raw = np.full(60, 3e38, np.float32).tobytes()
        key = f"model.layers.0.{name}.weight"
        arrays[key] = {"dtype": "F32", "shape": [60]}, raw
    write_safetensors(file, arrays)
    assert "layers.0.attn_norm: expected finite" in refused(sanitized, small)


def test_the_same_array_in_two_shards_is_refused(sanitized, small):
    arrays = read_safetensors(small / "model.safetensors")
    again = {"model.norm.weight": arrays["model.norm.weight"]}
    write_safetensors(small / "again.safetensors", again)
    assert "once" in refused(sanitized, small)


@pytest.mark.parametrize(
    "ids", ["", ",", "1,", "1,,2", "-1", "101", "1 2", "x", "9" * 30]
)
def test_ids_that_are_none_are_refused(sanitized, small, ids):
    refused(sanitized, small, ids)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--help",),
        ("--trace", "x.trace"),
        ("--vectors", "a"),
        ("a", "1", "x"),
        ("a", "1", "2", "3"),
    ],
)
def test_a_wrong_command_is_one_line(sanitized, words, tmp_path):
    status, out, errors = run_c(sanitized, *words)
    assert (status, out, errors.count("\n")) == (1, b"", 1)


@pytest.mark.parametrize("pieces", ["1", "1,1,1,2", "5", "0,4", "2,x"])
def test_pieces_that_are_not_the_text_leave_no_trace(
    sanitized, small, pieces, tmp_path
):
    path = tmp_path / "a.trace"
    status, _, _ = run_c(sanitized, "--trace", path, small, join(IDS), pieces)
    assert status == 1
    assert not path.exists()


def damage(rng, raw):
    """A few bytes changed, cut out, repeated or put in."""
    raw = bytearray(raw)
    for _ in range(rng.randint(1, 3)):
        at, size = rng.randrange(len(raw)), rng.choice([1, 1, 2, 8, 50])
        match rng.randrange(4):
            case 0:
                raw[at] = rng.randrange(256)
            case 1:
                del raw[at : at + size]
            case 2:
                raw[at:at] = raw[at : at + size]
            case _:
                raw[at:at] = bytes([rng.choice(b'09"[}-,')])
    return bytes(raw)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_damaged_files_are_read_as_the_page_reads_them_or_refused(
    sanitized, small, name
):
    rng, right = random.Random(name), (small / name).read_bytes()
    header = int.from_bytes(right[:8], "little") + 8
    front = right if name == "config.json" else right[:header]
    for _ in range(40):
        (small / name).write_bytes(damage(rng, front) + right[len(front) :])
        status, out, errors = run_c(sanitized, small, join(IDS), 3)
        if status == 0:
            new = one_page.generate(*one_page.load(small), IDS, 3)
            assert [*map(int, out.split())] == new
        else:
            assert (status, out) == (1, b""), errors
            assert errors.startswith("bitnet: ")
            assert errors[:-1].isprintable()


def test_a_damaged_tokenizer_is_refused(sanitized, tmp_path):
    shutil.copytree(BUILT_IN, tmp_path, dirs_exist_ok=True)
    file = tmp_path / "tokenizer.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    for change in (
        {"decoder": {"type": "Metaspace"}},
        {"model": content["model"] | {"type": "Unigram"}},
        {"model": content["model"] | {"vocab": {"a": 0, "b": 0}}},
        {"model": content["model"] | {"vocab": {"\u4e2d": 0}}},
        {"added_tokens": [{"id": 4095, "special": False}]},
    ):
        file.write_text(json.dumps(content | change), encoding="utf-8")
        status, _, errors = run_c(sanitized, tmp_path, "0", 3)
        assert (status, errors[:8]) == (1, "bitnet: "), change
