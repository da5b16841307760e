# trace, compare, vectors, conform: what they print and how they end.

import json
import shutil

import numpy as np
import pytest

from minibitnet.cli import main
from minibitnet.commands import vectors as command
from minibitnet.golden.traces import read_trace, write_trace
from minibitnet.golden.vectorset import FROZEN

QUIRKY = str(FROZEN / "models" / "quirky")


def run(capsys, *argv):
    status = main([str(word) for word in argv])
    out, err = capsys.readouterr()
    return status, out, err


@pytest.fixture
def trace(tmp_path, capsys):
    run(capsys, "trace", QUIRKY, "--ids", "271,32,97", "--out", tmp_path / "a")
    return tmp_path / "a"


def test_traces_are_the_same_in_every_form_and_cut(capsys, tmp_path, trace):
    for name, pieces in (("b.trace", "1,2"), ("c.npz", "1,1,1")):
        out = tmp_path / name
        words = ("trace", QUIRKY, "--ids", "271 32 97", "--out", out)
        assert run(capsys, *words, "--pieces", pieces) == (0, f"{out}\n", "")
        status, text, _ = run(capsys, "compare", trace, out)
        assert (status, text) == (0, "All 67 stages are equal.\n")


def test_compare_ends_in_1_where_traces_differ(capsys, tmp_path, trace):
    stages = read_trace(trace)
    ids = stages.pop("ids")
    stages["layers.1.o.acc"] = stages["layers.1.o.acc"] + 1
    write_trace(tmp_path / "b.npz", stages, ids)
    status, text, _ = run(capsys, "compare", trace, tmp_path / "b.npz")
    assert status == 1
    assert "first layers.1.o.acc[0, 0]: " in text
    assert "one too high everywhere\nA mistake in layers.1.o.acc: other sums" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("trace", QUIRKY, "--ids", "1,x", "--out", "a"),
            "--ids: expected",
        ),
        (("trace", QUIRKY, "--ids", "999", "--out", "a"), "ids must be from 0 to 273"),
        (("trace", QUIRKY, "--ids", "", "--out", "a"), "--ids: expected"),
        (("trace", "no/such/place", "--ids", "1", "--out", "a"), "found nothing"),
        (
            ("trace", QUIRKY, "--ids", "1", "--out", "a", "--pieces", "0"),
            "--pieces: expected",
        ),
        (
            ("trace", QUIRKY, "--ids", "1", "--out", "a", "--pieces", "2"),
            "must be 1 tokens",
        ),
        (("trace", QUIRKY, "--ids", "1"), "--out"),
        (("compare", "none", "none"), "none: expected a trace, found no such file"),
        (("conform", "none"), "none: expected a directory of answers"),
        (("conform", QUIRKY, "--vectors", "none"), "none/manifest.json"),
        (("vectors", QUIRKY), "an empty directory"),
    ],
)
def test_mistakes_are_one_line(capsys, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    status, out, err = run(capsys, *words)
    assert (status, out) == (2, "")
    assert message in err
    assert (err[:12], err.count("\n")) == ("minibitnet: ", 1)
    assert not (tmp_path / "a").exists()


def test_conform_prints_markdown_or_json(capsys, tmp_path):
    port = tmp_path / "port"
    (port / "arrays").mkdir(parents=True)
    name = "arrays/quantize_activations.ties.codes.bin"
    shutil.copyfile(FROZEN / name, port / name)
    status, text, _ = run(capsys, "conform", port)
    assert (status, "| quantize_activations | 1 | 0 | 17 |" in text) == (1, True)
    status, text, _ = run(capsys, "conform", port, "--json", "--vectors", FROZEN)
    report = json.loads(text)
    assert (status, report["passed"], report["arrays"]["passed"]) == (1, False, 1)
    (port / name).write_bytes(bytes(10))
    report = json.loads(run(capsys, "conform", port, "--json")[1])
    assert report["first_difference"]["index"] == [0, 0]


def test_conform_ends_in_0_if_all_that_is_asked_for_is_right(capsys, tmp_path):
    shutil.copytree(FROZEN / "arrays", tmp_path / "arrays")
    status, text, _ = run(capsys, "conform", tmp_path, "--only", "product,rotate")
    assert (status, text[:17]) == (0, "**Level: floats**")
    assert "| product | 13 | 0 | 0 |\n| rotate | 3 | 0 | 0 |\n" in text
    assert run(capsys, "conform", tmp_path)[0] == 1
    status, out, err = run(capsys, "conform", tmp_path, "--only", "rotate,dance")
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "got 'dance'" in err


def test_vectors_writes_the_set_and_on_request_two_more_forms(
    capsys, monkeypatch, tmp_path
):
    def write(directory):
        np.save(tmp_path / "seen.npy", 1)
        return shutil.copytree(FROZEN, directory)

    monkeypatch.setattr(command, "write_vectors", write)
    assert run(capsys, "vectors", tmp_path / "a") == (0, f"{tmp_path / 'a'}\n", "")
    assert not (tmp_path / "a" / "c").exists()
    run(capsys, "vectors", tmp_path / "b", "--c-header", "--hex")
    assert (tmp_path / "b" / "c" / "rms_norm.h").exists()
    assert (tmp_path / "b" / "hex" / "rms_norm.loud.x.hex").exists()
