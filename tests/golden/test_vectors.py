# The published set is what is written now, byte for byte, by page and package alike.

import functools
import json
import re
from pathlib import Path

import jsonschema
import numpy as np
import pytest
from numpy.testing import assert_array_equal

import minibitnet as mb
from minibitnet import (
    absmax,
    absmean,
    attention,
    bf16,
    bitlinear,
    packing,
    rmsnorm,
    rope,
    sampling,
    tokenizer,
)
from minibitnet.checkpoint import fromgguf
from minibitnet.feedforward import ACTIVATIONS
from minibitnet.formats import LAYOUTS
from minibitnet.golden.conform import conform
from minibitnet.golden.operations import OPERATIONS, REFERENCE, answer
from minibitnet.golden.traces import record
from minibitnet.golden.vectors import all_cases, shortest, write_vectors
from minibitnet.golden.vectorset import FROZEN, VectorSet, all_entries
from minibitnet.golden.zoo import ZOO
from minibitnet.kernels import KERNELS
from minibitnet.kernels.head import project
from minibitnet.model import Model

LARGEST = 5_000_000  # bytes of the set in the repository


@pytest.fixture(scope="module")
def manifest():
    return json.loads((FROZEN / "manifest.json").read_text(encoding="utf-8"))


def files_of(directory):
    """The bytes of every file, but of those that only say the same for NumPy."""
    return {
        str(file.relative_to(directory)): file.read_bytes()
        for file in sorted(directory.rglob("*"))
        if file.is_file() and file.suffix != ".npy"
    }


def test_the_published_set_is_written_again_byte_for_byte(tmp_path):
    written = write_vectors(tmp_path / "set")
    now, published = files_of(written), files_of(FROZEN)
    assert [*now] == [*published]
    assert [name for name in now if now[name] != published[name]] == []
    for file in (written / "arrays").glob("*.npy"):
        assert np.load(file).tobytes() == file.with_suffix(".bin").read_bytes()
    assert sum(map(len, published.values())) < LARGEST
    with pytest.raises(ValueError, match="an empty directory"):
        write_vectors(written)


def test_the_manifest_is_as_its_schema_says(manifest):
    schema = json.loads((FROZEN / "manifest.schema.json").read_text(encoding="utf-8"))
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    validator.validate(manifest)
    entry = manifest["vectors"][0]["outputs"]["ids"]
    for change in (
        {"class": "near"},
        {"file": "../a.bin"},
        {"more": 1},
        {"absolute": 1},
    ):
        manifest["vectors"][0]["outputs"]["ids"] = entry | change
        assert not validator.is_valid(manifest), change
    manifest["vectors"][0]["outputs"]["ids"] = entry


def test_every_operation_has_vectors_and_a_line_in_the_readme(manifest):
    assert {vector["operation"] for vector in manifest["vectors"]} == {*OPERATIONS}
    text = (FROZEN / "README.md").read_text(encoding="utf-8")
    assert all(f"`{operation}`" in text for operation in OPERATIONS)
    assert len({vector["id"] for vector in manifest["vectors"]}) == len(all_cases())


def test_no_two_arrays_share_a_file(manifest):
    entries = [e for vector in manifest["vectors"] for e in all_entries(vector)]
    files = [entry["file"] for entry in entries if "generator" not in entry]
    assert len(files) == len({*files})


def test_integers_and_scales_are_exact(manifest):
    for vector in manifest["vectors"]:
        for name, entry in vector["outputs"].items():
            if not entry["dtype"].startswith("float") or name.endswith("scale"):
                assert entry["class"] == "exact"


def test_values_in_the_manifest_read_back_as_the_same_numbers(manifest):
    tested = VectorSet(FROZEN)
    seen = 0
    for vector in manifest["vectors"]:
        for entry in all_entries(vector):
            if "values" in entry:
                array = np.array(entry["values"], entry["dtype"])
                expected = tested.read(entry["file"], entry)
                assert_array_equal(array.reshape(entry["shape"]), expected, strict=True)
                seen += 1
            if "hex" in entry:
                raw = tested.read(entry["file"], entry).tobytes()
                assert bytes.fromhex(entry["hex"]) == raw
    assert seen > 200
    assert str(shortest(np.float32([0.1, 1e-45]))) == "[0.1, 1e-45]"


def test_every_bug_of_the_zoo_is_caught(manifest):
    caught = {name for vector in manifest["vectors"] for name in vector["catches"]}
    assert caught == {bug.name for bug in ZOO}


def test_the_drawn_numbers_of_the_readme():
    text = (FROZEN / "README.md").read_text(encoding="utf-8")
    [found] = re.findall(
        r"first codes are (.*) and the first packed byte is (\d+)", text
    )
    from minibitnet.golden.draws import draw

    assert found[0] == ", ".join(map(str, draw("codes", 0, (3,))))
    assert found[1] == str(draw("packed", 0, (1,))[0])


load = functools.cache(mb.load)


def forward(ids, model, pieces):
    return record(load(model)[0], ids, pieces)


def generate(ids, model, n):
    return list(mb.generate(load(model)[0], ids, max_new_tokens=n))


def encode(text, model, bos):
    return load(model)[1].encode(text.tobytes().decode(), bos=bos)


def decode(ids, model):
    text = load(model)[1].decode(ids)
    return np.frombuffer(text.encode(), np.uint8)


def chat(messages, model):
    return load(model)[1].chat(json.loads(messages.tobytes()))


def attend(q, k, v):
    attn = attention.attend(q, np.swapaxes(k, 0, 1), np.swapaxes(v, 0, 1))
    return attn.reshape(len(q), -1)


def rescale(acc, x_scale, w_scale, divides):
    [scale] = 1 / w_scale if divides else w_scale
    return bitlinear.rescale(acc, x_scale, scale)


def greedy(logits):
    return sampling.sample(logits, sampling.Sampling(), np.random.default_rng(0))


def unpack_gguf(data, type, M, N):
    packed = fromgguf.pack_again(data, M, N, type)
    return packing.unpack(packed, M), fromgguf.scale_of(data, M, N, type)


def pack_gguf(codes, scale, type, M, N):
    return LAYOUTS[type.lower()].pack(codes, scale.item())


PACKAGE = {
    "pack_gguf": pack_gguf,
    "unpack_gguf": unpack_gguf,
    "encode": encode,
    "decode": decode,
    "chat": chat,
    "widen": lambda bits: bf16.widen(bits),
    "pack": lambda codes: packing.pack(codes),
    "unpack": lambda packed, M: packing.unpack(packed, M),
    "quantize_weights": lambda W: absmean.quantize_weights(W),
    "quantize_activations": lambda x: absmax.quantize_activations(x),
    "product": lambda x_codes, packed, M: KERNELS["auto"]([packed], [M])(x_codes)[0],
    "rescale": rescale,
    "rms_norm": lambda x, gain, eps: rmsnorm.rms_norm(x, gain, eps),
    "rotations": lambda positions, d, theta: rope.rotations(
        positions.astype(np.int64), d, theta
    ),
    "rotate": lambda x, cos, sin: rope.rotate(x, cos, sin),
    "attend": attend,
    "relu2_gate": lambda gate, up, activation: ACTIVATIONS[activation](gate) * up,
    "forward": forward,
    "logits": lambda h, head: project(h, head),
    "greedy": greedy,
    "probabilities": lambda **given: sampling.probabilities(**given),
    "generate": generate,
}


def test_the_package_gives_the_same():
    report = conform(PACKAGE)
    assert report.passed, str(report)
    elsewhere = {"pick", "refuse"}
    assert {o.operation for o in report.outcomes} == OPERATIONS.keys() - elsewhere


def test_picking_is_what_numpy_does():
    p = np.array([0, 0.25, 0, 0.5, 0.25, 0])
    for seed in range(50):
        u = np.array([np.random.default_rng(seed).random()])
        expected = np.random.default_rng(seed).choice(len(p), p=p)
        assert answer("pick", {"p": p, "u": u}, {})["id"] == expected


def damaged(case, directory):
    """A checkpoint with the wrong input in it, where the loader will meet it."""
    from minibitnet.golden.quirky import write_quirky

    write_quirky(directory)
    [(kind, array)] = case.arrays.items()
    names = {"safetensors": "model.safetensors"}
    names |= {"config": "config.json", "tokenizer": "tokenizer.json"}
    (directory / names[kind]).write_bytes(array.tobytes())
    return directory


REFUSED = [case for case in all_cases() if case.operation == "refuse"]
IN_FILES = [c for c in REFUSED if {*c.inputs} & {"safetensors", "config", "tokenizer"}]


@pytest.mark.parametrize("case", IN_FILES, ids=lambda case: case.id)
def test_the_loader_refuses_the_files_that_a_port_must_refuse(
    case, tmp_path, monkeypatch
):
    damaged(case, tmp_path)
    with pytest.raises(mb.CheckpointError):
        mb.load(tmp_path)
    if "tokenizer" in case.inputs:  # without the library, too
        monkeypatch.setattr(tokenizer, "read_with_library", lambda file: None)
        with pytest.raises(mb.CheckpointError):
            mb.load(tmp_path)


def test_the_model_refuses_the_ids_that_a_port_must_refuse():
    model, _ = mb.load(FROZEN / "models" / "quirky")
    assert isinstance(model, Model)
    for case in REFUSED:
        if "ids" in case.inputs:
            with pytest.raises(ValueError, match="ids must be"):
                mb.forward(model, case.inputs["ids"])


def test_right_inputs_are_not_refused():
    right = FROZEN / "models" / "quirky"
    ids = {"ids": np.int32([1, 2])}
    assert answer("refuse", ids, {"model": right})["refused"] == 0
    for kind, name in (
        ("safetensors", "model.safetensors"),
        ("config", "config.json"),
        ("tokenizer", "tokenizer.json"),
    ):
        raw = {kind: np.frombuffer((right / name).read_bytes(), np.uint8)}
        assert answer("refuse", raw, {})["refused"] == 0
    assert answer("refuse", {"w_scale": np.float32([1])}, {})["refused"] == 0


def test_the_small_models_are_as_odd_as_they_say():
    quirky, _ = mb.load(FROZEN / "models" / "quirky")
    config = quirky.config
    sizes = config.hidden_size, config.intermediate_size, config.vocab_size
    for size in (*sizes, config.num_attention_heads * config.head_dim):
        assert 0 not in (size % 5, size % 32, size % 128)
    assert config.num_attention_heads == 4 * config.num_key_value_heads
    assert quirky.lm_head is quirky.embed_tokens
    llama, _ = mb.load(FROZEN / "models" / "llama")
    assert llama.lm_head is not llama.embed_tokens
    assert llama.layers[0].mlp.ffn_sub_norm is None
    files = [*Path(FROZEN / "models" / "quirky").iterdir()]
    assert sum(file.stat().st_size for file in files) < 1_000_000


def test_the_loud_product_overflows_16_bits_on_the_way_and_at_the_end():
    [case] = [case for case in all_cases() if case.id == "product/overflow"]
    x, M = case.inputs["x_codes"], case.parameters["M"]
    terms = x[:, None].astype(int) * packing.unpack(case.inputs["packed"], M)
    sums = terms.cumsum(axis=2)
    assert np.abs(sums[:, :, -1]).max() == 128 * 6912
    assert np.abs(sums[0, 2]).max() > 2**15 > np.abs(sums[0, 2, -1])


def test_the_lines_of_the_page_are_found():
    q, k = np.ones((1, 2, 2), np.float32), np.ones((1, 1, 2), np.float32)
    assert answer("attend", {"q": q, "k": k, "v": k}, {}, REFERENCE)[
        "attn"
    ].tolist() == [[1, 1, 1, 1]]
