import io
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minibitnet as mb
from minibitnet.commands import perplexity
from minibitnet.evaluation.perplexity import Estimate, chunks, score_end, windows

TEXT = "It was a b\xe9tter day. " * 30


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text(TEXT + "\n", encoding="utf-8")
    return file


def test_it_prints_what_the_library_finds(run, file, speaking):
    words = ("perplexity", file, "--model", speaking, "--context", 40, "--chunks", 3)
    status, out, err = run(*words, "--json")
    report = json.loads(out)
    model, tokenizer = mb.load(speaking)
    ids = tokenizer.encode(TEXT)
    cut = chunks(ids, 40, tokenizer.bos_ids)
    expected = Estimate.of(score_end(model, window) for window in cut[:3])
    assert status == 0
    assert report["perplexity"] == pytest.approx(expected.perplexity)
    assert report["standard_error"] == pytest.approx(expected.perplexity_error)
    assert report["bits_per_token"] == pytest.approx(expected.bits)
    ratio = (len(ids) - 1) / len(TEXT.encode())  # without begin-of-text
    assert report["bits_per_byte"] == pytest.approx(expected.bits * ratio)
    assert (report["tokens"], report["chunks"], report["context"]) == (57, 3, 40)
    assert report["chunks_of_the_text"] == len(ids) // 40
    assert not report["interrupted"]
    assert [line.split(":")[0] for line in err.splitlines()] == [
        *("1 of 3", "2 of 3", "3 of 3")
    ]
    status, out, _ = run(*words)
    assert out.startswith(f"perplexity      {report['perplexity']:.4f} +/- ")
    assert "57 tokens scored, in 3 of 16 chunks of up to 40 tokens\n" in out


def test_windows_on_request_from_standard_input(run, speaking, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(TEXT[:100]))
    words = ("--model", speaking, "--context", 40, "--stride", 30, "--json")
    report = json.loads(run("perplexity", "-", *words)[1])
    model, tokenizer = mb.load(speaking)
    ids = tokenizer.encode(TEXT[:100])
    cut = windows(ids, 40, 30)
    expected = Estimate.of(score_end(model, window) for window in cut)
    assert report["perplexity"] == pytest.approx(expected.perplexity)
    assert (report["tokens"], report["stride"]) == (len(ids) - 1, 30)


def test_a_context_is_no_longer_than_the_model_can_read(run, file, speaking):
    report = json.loads(run("perplexity", file, "--model", speaking, "--json")[1])
    assert report["context"] == 128


def test_a_wrong_activation_and_a_wrong_split_show(run):
    file = Path(__file__).parents[1] / "story.txt"
    found = {}
    for words in ((), ("--activation", "silu"), ("--pre", "default")):
        options = ("--context", 200, "--stride", 100, "--json", *words)
        found[words] = json.loads(run("perplexity", file, *options)[1])
    right, silu, split = found.values()
    assert silu["perplexity"] > 1.2 * right["perplexity"]
    assert split["tokens"] > right["tokens"]
    assert split["bits_per_byte"] > 1.5 * right["bits_per_byte"]


def test_an_interrupted_run_says_what_it_has(run, file, speaking, monkeypatch):
    done = []

    def score_two(model, window):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(score_end(model, window))
        return done[-1]

    monkeypatch.setattr(perplexity, "score_end", score_two)
    words = ("perplexity", file, "--model", speaking, "--context", 40)
    status, out, _ = run(*words)
    assert status == 130
    assert f"{Estimate.of(done).perplexity:.4f}" in out
    assert "in 2 of 16 chunks of up to 40 tokens, interrupted" in out
    report = json.loads(run(*words, "--json")[1] or "{}")
    assert report == {}  # interrupted before the first: nothing is known


def test_what_is_infinite_is_null_in_json_and_inf_for_people(
    run, file, speaking, monkeypatch
):
    scores = np.full(3, -800.0)
    monkeypatch.setattr(perplexity, "score_end", lambda *_: scores)
    words = ("perplexity", file, "--model", speaking, "--chunks", 1)
    report = json.loads(run(*words, "--json")[1])
    assert report["perplexity"] is None
    assert report["bits_per_token"] == pytest.approx(800 / math.log(2))
    assert run(*words)[1].startswith("perplexity      inf +/- ")


def test_line_breaks_count_as_they_stand(speaking, tmp_path):
    file, text = tmp_path / "text.txt", b"It was.\r\nA day.\r\n"
    file.write_bytes(text)
    words = ("--model", speaking, "--context", "40", "--stride", "1", "--json")
    model, tokenizer = mb.load(speaking)
    ids = tokenizer.encode(text.decode().removesuffix("\n"))
    for name, stdin in ((str(file), b""), ("-", text)):
        command = [sys.executable, "-m", "minibitnet", "perplexity", name, *words]
        out = subprocess.run(command, input=stdin, capture_output=True, check=True)
        report = json.loads(out.stdout)
        assert report["tokens"] == len(ids) - 1, name
        expected = -mb.score(model, ids).sum() / math.log(2) / (len(text) - 1)
        assert report["bits_per_byte"] == pytest.approx(expected), name


def test_a_single_token_has_no_error(run, tmp_path, speaking):
    (tmp_path / "text").write_text("a", encoding="utf-8")
    words = ("perplexity", tmp_path / "text", "--model", speaking, "--stride", 1)
    _, out, err = run(*words)
    assert out.splitlines()[0].endswith("+/- unknown")
    assert "+/- unknown, " in err
    assert json.loads(run(*words, "--json")[1])["standard_error"] is None


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["no/such/file"], "no/such/file: No such file"),
        (["FILE", "--context", "129"], "--context: expected at most 128, which is"),
        (["FILE", "--context", "2"], "context must be 3 or above, got 2"),
        (["FILE", "--stride", "128"], "stride must be from 1 to 127, got 128"),
        (["FILE", "--stride", "0"], "--stride: expected a whole number from 1"),
        (["FILE", "--chunks", "0"], "--chunks: expected a whole number from 1"),
        (["FILE", "--activation", "gelu"], "--activation: invalid choice: 'gelu'"),
        (["FILE", "--pre", "llama3"], "--pre: invalid choice: 'llama3'"),
        (["EMPTY"], "the text must have a chunk of 128 tokens, got 1"),
        (["EMPTY", "--stride", "3"], "the text must have 2 tokens, got 1"),
        (["BYTES"], "expected text in utf-8, found byte 0xff"),
        (["."], "Is a directory"),
    ],
)
def test_mistakes_are_one_line(run, file, tmp_path, speaking, words, complaint):
    (tmp_path / "empty").write_bytes(b"\n")
    (tmp_path / "bytes").write_bytes(b"abc\xff")
    names = {"FILE": file, "EMPTY": tmp_path / "empty", "BYTES": tmp_path / "bytes"}
    words = [names.get(word, word) for word in words]
    status, out, err = run("perplexity", *words, "--model", speaking)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert complaint in err
