# Ports that answer with files and with functions, right ones and wrong ones.

import json
import os
import shutil

import numpy as np
import pytest

from minibitnet import rmsnorm
from minibitnet.golden import vectorset
from minibitnet.golden.conform import conform, conform_files
from minibitnet.golden.draws import draw
from minibitnet.golden.outcome import LEVELS
from minibitnet.golden.recognize import try_bug
from minibitnet.golden.report import Report
from minibitnet.golden.traces import write_trace
from minibitnet.golden.vectorset import FROZEN, VectorSet, all_entries, open_set
from minibitnet.golden.zoo import ZOO, find_bug, mutate


@pytest.fixture(scope="module")
def answered(tmp_path_factory):
    """A port that answers everything rightly: the page, computed once more."""
    from minibitnet.golden.cases import models
    from minibitnet.golden.operations import answer, locate

    port = tmp_path_factory.mktemp("port")
    (port / "arrays").mkdir()
    tested = VectorSet(FROZEN)
    for vector in tested.vectors:
        inputs = {name: tested.read_input(e) for name, e in vector["inputs"].items()}
        parameters = locate(vector["parameters"], FROZEN)
        if "stories" in vector["id"] and vector["operation"] == "generate":
            entry = vector["outputs"]["ids"]  # it takes long
            outputs = {"ids": tested.read_output(entry)}
        else:
            outputs = answer(vector["operation"], inputs, parameters)
        for name, entry in vector["outputs"].items():
            (port / entry["file"]).write_bytes(outputs[name].tobytes())
    assert models.FULL
    (port / "port.json").write_text('{"program": "page", "version": "2"}')
    return port


@pytest.fixture
def port(answered, tmp_path):
    return shutil.copytree(answered, tmp_path / "port")


def test_a_right_port_reaches_the_last_level(answered):
    report = conform_files(answered)
    assert report.passed
    assert report.level == LEVELS[-1]
    assert report.count("passed") == len(report.outcomes) > 600
    assert str(report).startswith("**Level of page 2: greedy text**\n")
    assert "difference" not in str(report)
    json.dumps(report.content(), allow_nan=False)


def change(port, name, dtype, index, value):
    """One number of an answer is another."""
    file = port / "arrays" / f"{name}.bin"
    array = np.frombuffer(file.read_bytes(), dtype).copy()
    array[index] = value
    file.write_bytes(array.tobytes())


@pytest.mark.parametrize(
    ("name", "dtype", "level"),
    [
        ("encode.quirky_word.ids", "<i4", None),
        ("product.one.acc", "<i4", "shapes"),
        ("forward.quirky_prefill.layers.0.q.acc", "<i4", "shapes"),
        ("forward.stories_steps.layers.5.down.acc", "<i4", "shapes"),
        ("refuse.truncated.refused", "u1", "shapes"),
        ("quantize_activations.ties.scale", "<f4", "integers"),
        ("rms_norm.loud.y", "<f4", "scales"),
        ("forward.quirky_steps.layers.1.attn", "<f4", "scales"),
        ("logits.drawn.logits", "<f4", "floats"),
        ("probabilities.plain.p", "<f8", "floats"),
        ("greedy.first.id", "<i4", "floats"),
        ("generate.quirky_200.ids", "<i4", "logits"),
    ],
)
def test_one_wrong_number_ends_the_level(port, name, dtype, level):
    change(port, name, dtype, 0, 77)
    report = conform_files(port)
    assert (report.passed, report.level) == (False, level)
    [failure] = report.failures
    assert failure.index[0] == 0
    assert {*report.content()["levels"].values()} == {"right", "wrong"}
    assert f"The first difference: {failure.line()}" in str(report)
    assert (
        f"{failure.vector}: {failure.output}".replace("/", ".").replace(": ", ".")
        == name
    )
    answered_right = {**report.content()["arrays"]}
    assert answered_right == {
        "passed": len(report.outcomes) - 1,
        "failed": 1,
        "missing": 0,
    }


def test_integers_have_no_tolerance_and_floats_only_theirs(port):
    change(port, "product.one.acc", "<i4", 0, 129)
    p = np.fromfile(port / "arrays/probabilities.flat.p.bin")
    change(port, "probabilities.flat.p", "<f8", 0, p[0] + 9e-10)
    change(port, "probabilities.flat.p", "<f8", 1, p[1] + 2e-9)
    y = np.fromfile(port / "arrays/rms_norm.faint.y.bin", np.float32)
    change(port, "rms_norm.faint.y", "<f4", 1, np.nextafter(y[1], np.float32(9)))
    logits = np.fromfile(port / "arrays/logits.drawn.logits.bin", np.float32)
    next_one = np.nextafter(logits, np.float32(99)).astype("<f4")
    (port / "arrays/logits.drawn.logits.bin").write_bytes(next_one.tobytes())
    product, rms, p = conform_files(port).failures
    assert product.line() == (
        "product/one: acc[0, 0]: 129 where 128 is right; 1 of 1 differ; "
        "one too high everywhere"
    )
    assert (rms.index, rms.differ) == ((0, 1), 1)
    assert rms.pattern == "only the last bits: sums in another order or type"
    assert (p.index, p.differ, p.size) == ((1,), 1, 3)


def test_a_nan_is_outside_every_tolerance(port):
    change(port, "logits.wide.logits", "<f4", 2, np.nan)
    [failure] = conform_files(port).failures
    assert failure.pattern == "NaN in 1 of 4 numbers, first in row 0"


def test_another_size_is_a_wrong_shape(port):
    (port / "arrays/rms_norm.loud.y.bin").write_bytes(b"abc")
    report = conform_files(port)
    assert report.level == "tokens"
    assert report.first.detail == "480 bytes are right (float32 (3, 40)), found 3"
    (port / "arrays/rms_norm.loud.y.bin").write_bytes(bytes(960))
    assert conform_files(port).first.detail.endswith("found 960: twice the width?")
    (port / "arrays/rms_norm.loud.y.bin").write_bytes(bytes(240))
    assert conform_files(port).first.detail.endswith("found 240: half the width?")


@pytest.mark.skipif(os.name != "posix", reason="needs pipes in the file system")
def test_a_pipe_is_not_waited_for(port):
    (port / "arrays/rms_norm.loud.y.bin").unlink()
    os.mkfifo(port / "arrays/rms_norm.loud.y.bin")
    assert "found no file" in conform_files(port).first.detail


def test_an_operation_that_was_attempted_counts_with_all_its_arrays(port):
    (port / "arrays/rms_norm.loud.y.bin").unlink()
    report = conform_files(port)
    assert (report.passed, report.level, report.first) == (False, "scales", None)
    assert "scales right > floats missing in part > logits right" in str(report)
    assert "| rms_norm | 6 | 0 | 1 |" in str(report)
    assert report.not_attempted == []
    for file in (port / "arrays").glob("rms_norm.*.bin"):
        file.unlink()
    report = conform_files(port)
    assert (report.passed, report.level, report.first) == (False, "greedy text", None)
    assert report.count("missing", "rms_norm") == 7
    assert "\n\nNot attempted: rms_norm" in str(report)


def test_a_core_that_has_the_product_alone_is_told_of_the_product(answered, tmp_path):
    core = ("quantize_activations", "product")
    (tmp_path / "arrays").mkdir()
    for operation in core:
        for file in (answered / "arrays").glob(f"{operation}.*"):
            shutil.copy(file, tmp_path / "arrays")
    report = conform_files(tmp_path)
    assert (report.passed, report.level) == (False, "scales")
    assert report.content()["levels"] == {
        **dict.fromkeys(LEVELS, "not attempted"),
        **dict.fromkeys(("shapes", "integers", "scales"), "right"),
    }
    text = str(report)
    assert text.startswith(
        "**Level: scales**, in the operations that it attempted\n\ntokens not attempted"
    )
    assert "| quantize_activations | 18 | 0 | 0 |\n| product | 13 | 0 | 0 |" in text
    assert "rms_norm |" not in text
    assert "rms_norm" in text.split("Not attempted: ")[1]
    assert conform_files(tmp_path, operations=core).passed
    change(tmp_path, "product.one.acc", "<i4", 0, 129)
    report = conform_files(tmp_path, operations=core)
    assert (report.passed, report.level) == (False, "shapes")
    with pytest.raises(ValueError, match=r"operations must be .* got 'products'"):
        conform_files(tmp_path, operations=["product", "products"])


def test_an_empty_port_reaches_nothing(tmp_path):
    report = conform_files(tmp_path)
    assert (report.passed, report.level) == (False, None)
    assert {*report.content()["levels"].values()} == {"not attempted"}
    assert "such as arrays/encode." in str(report)
    assert str(Report([])).startswith("**Level: none**")
    assert not Report([]).passed
    with pytest.raises(ValueError, match="expected a directory of answers"):
        conform_files(tmp_path / "none")


def as_trace(port, vector):
    """A vector's answers as one stream, in place of a file for each."""
    [vector] = (v for v in VectorSet(FROZEN).vectors if v["id"] == vector)
    stages = {}
    for name, entry in vector["outputs"].items():
        raw = (port / entry["file"]).read_bytes()
        stages[name] = np.frombuffer(raw, entry["dtype"]).reshape(entry["shape"])
        (port / entry["file"]).unlink()
    stream = port / "arrays" / f"{vector['id'].replace('/', '.')}.trace"
    ids = VectorSet(FROZEN).read_input(vector["inputs"]["ids"])
    write_trace(stream, stages, ids)
    return stream


@pytest.mark.parametrize("vector", ["forward/quirky_pieces", "forward/stories_prefill"])
def test_a_trace_answers_a_whole_forward_pass(port, vector):
    stream = as_trace(port, vector)
    assert conform_files(port).passed
    raw = stream.read_bytes()
    stream.write_bytes(raw.replace(b"layers.0.down.acc ", b"layers.0.Down.acc "))
    report = conform_files(port)
    assert report.count("missing") == len(report.outcomes) - report.count("passed") == 1
    stream.write_bytes(raw[:-9])
    report = conform_files(port)
    assert report.count("failed", "forward") > 50
    assert "expected" in report.first.detail


def test_files_that_no_vector_asks_for_are_told(port):
    (port / "arrays/rms_norm.Loud.y\x1b.bin").write_bytes(b"")
    report = conform_files(port)
    assert report.passed
    assert report.unknown == ["arrays/rms_norm.Loud.y\x1b.bin"]
    assert r"'arrays/rms_norm.Loud.y\x1b.bin'" in str(report)


def test_differences_come_in_the_order_of_computation(port):
    change(port, "forward.quirky_prefill.layers.1.q", "<f4", 3, 9)
    change(port, "forward.quirky_prefill.layers.0.down.acc", "<i4", 0, 9)
    change(port, "logits.wide.logits", "<f4", 0, 9)
    change(port, "unpack.bands.codes", "i1", 0, 1)
    report = conform_files(port)
    outputs = [(f.operation, f.output) for f in report.failures]
    assert outputs == [
        ("unpack", "codes"),
        ("forward", "layers.0.down.acc"),
        ("forward", "layers.1.q"),
        ("logits", "logits"),
    ]
    text = str(report)
    assert text.index("unpack/bands") < text.index("- forward") < text.index("- logits")
    assert "layers.1.q[" not in text  # of each operation the first alone


def test_what_differences_look_like_in_other_vectors_is_told(port):
    change(port, "attend.groups_4_4.attn", "<f4", slice(12, 16), 9)
    change(port, "attend.groups_6_2.attn", "<f4", 0, 9)
    change(port, "rescale.multiplies.y", "<f4", 0, 9)
    text = str(conform_files(port))
    assert "; only head 3 (elsewhere: only head 0)\n" in f"{text}\n"
    assert text.count("elsewhere") == 1


def test_hashes_say_which_row_is_the_first(port):
    name = "forward.stories_prefill.layers.2.q.acc"
    change(port, name, "<i4", 256 * 3, 99999)
    [failure] = conform_files(port).failures
    assert (failure.index, failure.detail) == ((3,), "1 of 5 rows have another hash")


def rms_norm(x, gain, eps):
    return rmsnorm.rms_norm(x, gain, eps)


def test_functions_are_called_by_name_and_compared():
    assert conform({"rms_norm": rms_norm}).passed
    assert conform({"rms_norm": lambda **given: {"y": rms_norm(**given)}}).passed
    report = conform({"rms_norm": lambda x, gain, eps: x.astype(np.float64)})
    assert report.level is None
    assert report.first.pattern == "dtype float64 where float32 is right"
    report = conform({"rms_norm": lambda x, gain, eps: x[:, 1:]})
    assert report.first.pattern == "shape (3, 41) where (3, 42) is right"
    with pytest.raises(ValueError, match="operations must be .* got .layernorm"):
        conform({"layernorm": rms_norm})


def test_plain_numbers_and_lists_count_if_they_fit():
    def greedy(logits):
        return int(logits.argmax())

    assert conform({"greedy": greedy}).passed
    assert conform({"greedy": lambda logits: [int(logits.argmax())]}).passed
    report = conform({"greedy": lambda logits: logits.argmax() + 0.5})
    assert report.first.pattern == "dtype float64 where int32 is right"
    report = conform({"refuse": lambda **given: True})
    assert report.passed


def test_a_function_that_fails_or_says_nothing_gives_no_answer():
    def broken(x):
        raise RuntimeError("no\x1b[31m luck")

    first = conform({"quantize_activations": broken}).first
    assert first.line() == (
        r"quantize_activations/ties: codes: RuntimeError: no\x1b[31m luck"
    )
    one = conform({"quantize_activations": lambda x: x}).first
    assert one.detail == "ValueError: 1 outputs, not codes, scale"
    report = conform({"quantize_activations": lambda x: {"scale": None}})
    assert report.count("missing") == len(report.outcomes)


def half_away(W):
    """Rounds halves away from zero: right but at ties."""
    scale = np.maximum(np.float32(np.abs(W).mean(dtype=np.float64)), np.float32(1e-5))
    steps = W / scale
    codes = np.clip(np.trunc(steps + np.copysign(np.float32(0.5), steps)), -1, 1)
    return codes.astype(np.int8), scale


def test_ties_of_weights_are_told():
    [failure] = conform({"quantize_weights": half_away}).failures
    assert failure.vector == "quantize_weights/ties"
    assert failure.pattern.startswith("only at ties")


def test_without_the_published_set_it_is_written(monkeypatch, tmp_path):
    monkeypatch.setattr(vectorset, "FROZEN", tmp_path / "none")
    written = []

    def write(folder):
        written.append(folder)
        return FROZEN

    monkeypatch.setattr(vectorset, "write_vectors", write)
    with open_set(None) as tested:
        assert tested.directory == FROZEN
    assert len(written) == 1


def edit(directory, change):
    """The published set with another manifest."""
    directory.mkdir()
    content = json.loads((FROZEN / "manifest.json").read_text())
    change(content)
    (directory / "manifest.json").write_text(json.dumps(content))
    return directory


def first_output(content):
    return content["vectors"][0]["outputs"]["ids"]


DAMAGE = {
    "format": (lambda c: c.update(format="onnx"), "expected minibitnet-vectors 1"),
    "version": (lambda c: c.update(version="2.0.0"), "expected minibitnet-vectors 1"),
    "contract": (lambda c: c.update(contract=1), "contract 2, found"),
    "vectors": (lambda c: c.pop("vectors"), "KeyError"),
    "list": (lambda c: c.update(vectors={"a": 1}), "whole vectors"),
    "operation": (lambda c: c["vectors"][0].update(operation="add"), "add in vector 0"),
    "id": (lambda c: c["vectors"][0].update(id=3), "AttributeError"),
    "class": (lambda c: first_output(c).update({"class": "near"}), "near in vector 0"),
    "dtype": (lambda c: first_output(c).update(dtype="O"), "O"),
    "shape": (lambda c: first_output(c).update(shape=[-1]), "whole vectors"),
    "file": (lambda c: first_output(c).update(file="../../a.bin"), "a.bin in vector 0"),
    "rows": (lambda c: first_output(c).update(stored=False), "KeyError"),
    "fewer": (lambda c: first_output(c).update(stored=False, rows=[]), "whole vect"),
    "tolerance": (lambda c: first_output(c).update({"class": "tolerance"}), "KeyError"),
    "model": (lambda c: c["vectors"][0]["parameters"].update(model="../a"), "../a"),
    "models": (lambda c: c.update(models={"../m": {"a": "b"}}), "../m/a"),
    "sha256": (lambda c: first_output(c).update(sha256=3), "AttributeError"),
}


@pytest.mark.parametrize("what", DAMAGE)
def test_a_set_that_is_not_whole_is_refused(what, tmp_path):
    change, message = DAMAGE[what]
    with pytest.raises(ValueError, match=message) as raised:
        VectorSet(edit(tmp_path / "set", change))
    assert str(raised.value).isprintable()


def test_an_array_that_was_changed_is_refused(tmp_path):
    directory = shutil.copytree(FROZEN, tmp_path / "set")
    file = directory / "arrays" / "rms_norm.loud.x.bin"
    file.write_bytes(file.read_bytes()[::-1])
    with pytest.raises(ValueError, match=r"rms_norm.loud.x.bin: SHA-256 .* found"):
        conform({"rms_norm": rms_norm}, directory)


def test_a_model_that_was_changed_is_refused(tmp_path):
    directory = shutil.copytree(FROZEN, tmp_path / "set")
    file = directory / "models" / "llama" / "config.json"
    file.write_bytes(file.read_bytes() + b" ")
    with pytest.raises(ValueError, match=r"models/llama/config.json: SHA-256 .* found"):
        VectorSet(directory)


def test_drawn_inputs_are_those_of_the_hash(monkeypatch):
    tested = VectorSet(FROZEN)
    entries = [e for v in tested.vectors for e in all_entries(v) if "generator" in e]
    assert len(entries) == 14
    assert tested.read_input(entries[0]).shape == (*entries[0]["shape"],)
    monkeypatch.setattr(vectorset, "draw", lambda *given: draw(*given) + 1)
    with pytest.raises(ValueError, match="drawn from"):
        tested.read_input(entries[0])


GGUF = ("pack_gguf", "unpack_gguf")


def test_what_is_left_to_a_port_is_not_asked_of_it_unless_it_begins(port):
    for operation in GGUF:
        files = sorted((port / "arrays").glob(f"{operation}.*"))
        for file in files[1:]:
            file.unlink()
        report = conform_files(port)
        assert report.level == "shapes"
        assert report.count("missing", operation) == len(files) - 1
        files[0].unlink()
        report = conform_files(port)
        assert (report.passed, report.level) == (True, LEVELS[-1])
        assert operation not in report.content()["operations"]


@pytest.mark.parametrize(
    "name", [bug.name for bug in ZOO if bug.layouts and bug.name != "scale-missing"]
)
def test_a_port_that_unpacks_wrongly_is_told_how(port, name):
    wrong = mutate(find_bug(name).in_layouts()["minibitnet.formats.i2_s"])
    for vector in VectorSet(FROZEN).vectors:
        if vector["parameters"].get("type") == "I2_S" and "data" in vector["inputs"]:
            data = VectorSet(FROZEN).read_input(vector["inputs"]["data"])
            M, N = map(vector["parameters"].get, "MN")
            if M < 4 and name == "blocks-as-four-rows":
                continue
            codes = wrong.unpack(data, M, N)
            file = port / vector["outputs"]["codes"]["file"]
            file.write_bytes(codes.tobytes())
    report = conform_files(port)
    expected = f"It is as {name} has it: look for {find_bug(name).look_for}"
    assert expected in str(report)
    assert {failure.operation for failure in report.failures} == {"unpack_gguf"}


def test_a_known_bug_is_named_by_its_numbers_only():
    """Halves away from zero: but one more number that is wrong is another mistake."""

    def half_away(x, more=0):
        largest = np.maximum(np.abs(x).max(axis=1, keepdims=True), np.float32(1e-5))
        steps = x * (127 / largest)
        codes = np.trunc(steps + np.copysign(np.float32(0.5), steps)).astype(np.int8)
        codes[0, 0] += more
        return codes, largest / 127

    report = conform({"quantize_activations": half_away})
    assert report.first.bugs[0].startswith("It is as half-away has it: look for")
    report = conform({"quantize_activations": lambda x: half_away(x, -3)})
    assert "half-away" not in str(report)


def test_a_port_with_a_bug_that_cannot_run_says_nothing():
    bug = find_bug("blocks-of-64")
    assert (
        try_bug(bug, "unpack", {"packed": np.zeros((2, 3), np.uint8)}, {"M": 8}) == {}
    )


def test_the_answer_of_another_layer_is_recognized(port):
    arrays = port / "arrays"
    for name in ("attn_norm", "attn_in.codes"):
        wrong = arrays / f"forward.quirky_prefill.layers.0.{name}.bin"
        wrong.write_bytes((arrays / wrong.name.replace("rs.0", "rs.1")).read_bytes())
    report = conform_files(port, operations=["forward"])
    patterns = {outcome.output: outcome.pattern for outcome in report.failures}
    assert patterns == {
        f"layers.0.{name}": f"the right numbers of layers.1.{name}"
        for name in ("attn_norm", "attn_in.codes")
    }
