# answer.c: each operation alone, by a small set that the page answers.

import json
import shutil

import numpy as np
import pytest
from cport import (
    ANSWER,
    EXACT,
    RECORDED,
    SOURCE,
    compile_c,
    first_difference,
    ids_for,
    needs_compiler,
    read_trace,
    run_c,
    trace_page,
)

import minibitnet as mb
from minibitnet import one_page
from minibitnet.golden.conform import conform_files
from minibitnet.packing import pack
from minibitnet.stories import BUILT_IN

pytestmark = needs_compiler
FROZEN = SOURCE.parents[2] / "vectors" / "v1"
RNG = np.random.default_rng(0)


def floats(*shape, scale=3):
    return (scale * RNG.standard_normal(shape)).astype(np.float32)


def attend(q, k, v):
    (T, H, d), (S, G, _) = q.shape, k.shape
    attn = np.zeros((T, H, d), np.float32)
    for head in range(H):
        keys, values = k[:, head // (H // G)], v[:, head // (H // G)]
        for t in range(T):
            seen = S - T + t + 1
            scores = keys[:seen].astype(np.float64) @ q[t, head].astype(np.float64)
            attn[t, head] = one_page.softmax(scores * d**-0.5) @ values[:seen]
    return attn.reshape(T, H * d)


def integers():
    """(operation, parameters, inputs, outputs), the outputs by the page."""
    ties = [[127, 0.5, 1.5, -0.5, -2.5], [0, 0, 0, 0, 0], [1e-6, 0, 0, 0, 0]]
    for x in (floats(3, 13), np.float32(ties)):
        codes, scale = one_page.quantize_activations(x)
        outputs = {"codes": codes, "scale": scale}
        yield "quantize_activations", {}, {"x": x}, outputs
    W, x = floats(7, 13), floats(3, 13)
    codes, w_scale = one_page.quantize_weights(W)
    outputs = {"codes": codes, "scale": w_scale.reshape(1)}
    yield "quantize_weights", {}, {"W": W}, outputs
    packed = pack(codes)
    yield "pack", {}, {"codes": codes}, {"packed": packed}
    yield "unpack", {"M": 7}, {"packed": packed}, {"codes": codes}
    x_codes, x_scale = one_page.quantize_activations(x)
    acc = x_codes.astype(np.int32) @ codes.astype(np.int32).T
    inputs = {"x_codes": x_codes, "packed": packed}
    yield "product", {"M": 7}, inputs, {"acc": acc}
    inputs = {"acc": acc, "x_scale": x_scale, "w_scale": w_scale.reshape(1)}
    for divides, scale in ((False, w_scale), (True, 1 / w_scale)):
        y = acc.astype(np.float32) * (x_scale * scale)
        yield "rescale", {"divides": divides}, inputs, {"y": y}


def loud_product():
    """Sums that 16 bits do not hold."""
    ones = np.full((1, 6912), 2, np.uint8)
    inputs = {"x_codes": np.full((1, 6912), 127, np.int8), "packed": ones}
    yield "product", {"M": 1}, inputs, {"acc": np.int32([[127 * 6912]])}


def reals():
    """Norm, RoPE, attention, gate."""
    x, gain, up = floats(3, 13), floats(13), floats(3, 13)
    y = one_page.rms_norm(x, gain, 1e-5)
    yield "rms_norm", {"eps": 1e-5}, {"x": x, "gain": gain}, {"y": y}
    positions = np.int32([0, 1, 4095])
    cos, sin = one_page.rotations(positions, 8, 500000.0)
    angles = {"cos": cos[:, 0], "sin": sin[:, 0]}
    p = {"d": 8, "theta": 500000.0}
    yield "rotations", p, {"positions": positions}, angles
    q, k, v = floats(3, 4, 8), floats(5, 2, 8), floats(5, 2, 8)
    yield "rotate", {}, {"x": q} | angles, {"y": one_page.rotate(q, cos, sin)}
    yield "attend", {}, {"q": q, "k": k, "v": v}, {"attn": attend(q, k, v)}
    inputs = {"gate": x, "up": up}
    outputs = {"y": one_page.relu2(x) * up}
    yield "relu2_gate", {"activation": "relu2"}, inputs, outputs
    outputs = {"y": one_page.silu(x) * up}
    yield "relu2_gate", {"activation": "silu"}, inputs, outputs


def ends():
    """Embedding and logits, text."""
    h, bits = floats(3, 13), (floats(9, 13).view(np.uint32) >> 16).astype(np.uint16)
    wide = one_page.widen(bits)
    yield "widen", {}, {"bits": bits}, {"values": wide}
    logits = (h.astype(np.float64) @ wide.T.astype(np.float64)).astype(np.float32)
    yield "logits", {}, {"h": h, "head": bits}, {"logits": logits}
    equal = np.float32([1, 3, 3, -7])
    yield "greedy", {}, {"logits": equal}, {"id": np.int32([1])}
    for ids in ([300, 127, 102, 220, 172, 253, 99], [172, 253, 4093, 5], []):
        text = np.frombuffer(mb.load()[1].decode(ids).encode(), np.uint8)
        p = {"model": "models/stories"}
        yield "decode", p, {"ids": np.int32(ids)}, {"text": text}


def models():
    """Every stage, in pieces; greedy text."""
    directory = RECORDED / "packed_tied"
    ids = np.int32(ids_for(directory))
    p = {"model": "models/small", "pieces": [7, 1, 1, len(ids) - 9]}
    yield "forward", p, {"ids": ids}, trace_page(directory, ids, p["pieces"])
    new = np.int32(one_page.generate(*one_page.load(directory), ids, 9))
    yield "generate", {"model": "models/small", "n": 9}, {"ids": ids}, {"ids": new}


def wrong():
    """What must be refused, and one thing that must not."""
    one = {"refused": np.uint8([1])}
    yield "refuse", {"M": 8}, {"packed": np.uint8([[0, 3], [2, 1]])}, one
    yield "refuse", {"M": 4}, {"packed": np.uint8([[0], [0]])}, one
    yield "refuse", {"M": 4}, {"packed": np.uint8([[0]])}, {"refused": np.uint8([0])}
    for scale in (np.nan, np.inf, 0, -1):
        yield "refuse", {}, {"w_scale": np.float32([scale])}, one
    for ids in ([], [101], [-1]):
        yield "refuse", {"model": "models/small"}, {"ids": np.int32(ids)}, one
    for kind in ("safetensors", "config", "tokenizer"):
        text = np.frombuffer(b'{"no": "such"}', np.uint8)
        yield "refuse", {}, {kind: text}, one


CASES = [*integers(), *loud_product(), *reals(), *ends(), *models(), *wrong()]


def describe(arrays, stem):
    """What the manifest says of arrays."""
    return {
        name: {
            "dtype": array.dtype.name,
            "shape": [*array.shape],
            "file": f"{stem}.{name}.bin",
        }
        for name, array in arrays.items()
    }


@pytest.fixture(scope="module")
def small_set(tmp_path_factory):
    """The cases as files, and the answers by file."""
    directory, vectors, answers = tmp_path_factory.mktemp("set"), [], {}
    (directory / "arrays").mkdir()
    shutil.copytree(BUILT_IN, directory / "models" / "stories")
    shutil.copytree(RECORDED / "packed_tied", directory / "models" / "small")
    for i, (operation, parameters, inputs, outputs) in enumerate(CASES):
        vector = {
            "id": f"{operation}/{i}",
            "operation": operation,
            "parameters": parameters,
            "inputs": describe(inputs, f"arrays/{i}.in"),
            "outputs": describe(outputs, f"arrays/{i}.out"),
        }
        for name, array in inputs.items():
            (directory / vector["inputs"][name]["file"]).write_bytes(array.tobytes())
        if operation == "forward":
            answers[f"arrays/forward.{i}.trace"] = operation, outputs
        else:
            files = [entry["file"] for entry in vector["outputs"].values()]
            raw = [(operation, array.tobytes()) for array in outputs.values()]
            answers |= dict(zip(files, raw, strict=True))
        vectors.append(vector)
    manifest = {"format": "minibitnet-vectors", "contract": 2, "vectors": vectors}
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory, answers


def test_every_operation_gives_the_bytes_of_the_page(
    small_set, sanitized_answers, tmp_path
):
    directory, answers = small_set
    out = tmp_path / "out"
    status, text, errors = run_c(sanitized_answers, directory, out)
    assert (status, text) == (0, b"")
    assert all(line.startswith("bitnet: ") for line in errors.splitlines())
    for file, (operation, right) in answers.items():
        if operation == "forward":
            assert first_difference(read_trace(out / file), right) is None
        else:
            assert (out / file).read_bytes() == right, (operation, file)


@pytest.mark.parametrize("file", ["../x", "/x", "arrays/../../x"])
def test_nothing_is_written_outside_the_answers(small_set, programs, file, tmp_path):
    directory, _ = small_set
    manifest = json.loads((directory / "manifest.json").read_text())
    vector = manifest["vectors"][0]
    vector["outputs"]["codes"]["file"] = file
    vector["inputs"]["x"]["file"] = str(directory / vector["inputs"]["x"]["file"])[1:]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    program = programs("-O2", EXACT, source=ANSWER)
    run_c(program, tmp_path, tmp_path / "a" / "b")
    assert not [path for path in tmp_path.rglob("x") if path.is_file()]


@pytest.mark.skipif(not FROZEN.is_dir(), reason="there is no frozen set")
def test_the_frozen_vectors_are_answered(programs, tmp_path):
    program = programs("-O2", EXACT, source=ANSWER)
    assert run_c(program, FROZEN, tmp_path)[0] == 0
    report = conform_files(tmp_path, FROZEN)
    assert report.failures == []
    assert report.not_attempted == []
    assert report.level == "greedy text"


def test_it_compiles_without_a_warning(tmp_path):
    strict = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O2")
    assert compile_c(ANSWER, tmp_path / "answer", *strict) == ""
    assert max(map(len, ANSWER.read_text(encoding="ascii").splitlines())) <= 100


def test_a_crash_is_no_refusal(small_set, tmp_path):
    """A port that falls over does not pass for one that refuses."""
    source = SOURCE.read_text(encoding="ascii")
    for file in SOURCE.parent.glob("*.[ch]"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    right = 'fail("%s: expected a scale above 0'
    assert source.count(right) == 1
    crash = source.replace(right, "abort(), " + right)
    (tmp_path / "bitnet.c").write_text(crash, encoding="ascii")
    compile_c(tmp_path / "answer.c", tmp_path / "answer", EXACT)
    directory, answers = small_set
    run_c(tmp_path / "answer", directory, tmp_path / "out")
    refused = [f for f, (operation, _) in answers.items() if operation == "refuse"]
    missing = [file for file in refused if not (tmp_path / "out" / file).exists()]
    assert len(missing) == 4  # the scales
