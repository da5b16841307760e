import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import pytest
from process import POSIX, command

import minibitnet as mb
from minibitnet.commands import generate, options
from minibitnet.text.streaming import Tokens


def test_generate_writes_the_prompt_and_what_follows(run, speaking):
    words = ("generate", "hello", "--model", speaking, "--max-new-tokens", 5)
    status, out, err = run(*words, "--seed", 3)
    model, tokenizer = mb.load(speaking)
    ids, as_2b4t = tokenizer.encode("hello"), {"temperature": 0.6, "top_p": 0.9}
    tokens = mb.generate(model, ids, max_new_tokens=5, seed=3, **as_2b4t)
    text = "".join(tokenizer.stream(tokens))
    assert (status, out) == (0, f"hello{text}\n")
    assert "tokens read" in err
    assert "then 4 in" in err


def test_generate_as_json(run, speaking):
    words = ("generate", "hello", "--model", speaking, "--max-new-tokens", 3, "--json")
    report = json.loads(run(*words, "--temperature", 0)[1])
    model, tokenizer = mb.load(speaking)
    ids = tokenizer.encode("hello")
    assert report["ids"] == ids
    assert report["new_ids"] == list(mb.generate(model, ids, max_new_tokens=3))
    assert report["text"] == "".join(tokenizer.stream(report["new_ids"]))
    assert report["seconds"] == sorted(report["seconds"])


def test_generate_reads_and_writes_ids_without_a_tokenizer(run, checkpoint):
    words = (
        "generate",
        "--ids",
        "1, 2 3",
        "--model",
        checkpoint,
        "--max-new-tokens",
        4,
        "--temperature",
        0,
    )
    status, out, _ = run(*words)
    expected = list(mb.generate(mb.load(checkpoint)[0], [1, 2, 3], max_new_tokens=4))
    assert (status, out.split()) == (0, [str(token) for token in expected])


def test_generate_of_one_token_has_no_speed(run, checkpoint):
    words = ("generate", "--ids", "1", "--model", checkpoint, "--max-new-tokens", 1)
    _, out, err = run(*words)
    assert len(out.split()) == 1
    assert re.search(r"and one written in \d\.\d\d s$", err, re.MULTILINE)


def test_generate_of_nothing_says_so(run, checkpoint):
    words = ("generate", "--ids", "1", "--model", checkpoint, "--max-new-tokens", 0)
    greedy = ("--temperature", 0)
    assert run(*words, *greedy) == (0, "\n", "no tokens written\n")


def test_without_a_model_it_is_the_built_in_one_and_a_line_says_so(run):
    words = ("generate", "--ids", "5", "--max-new-tokens", 1, "--temperature", 0)
    status, out, err = run(*words)
    [expected] = mb.generate(mb.load()[0], [5], max_new_tokens=1)
    assert (status, out) == (0, f"{expected} \n")
    assert err.startswith(options.SMALL_MODEL)


def test_each_run_draws_another_text_and_says_how_to_have_it_again(run, speaking):
    words = ("generate", "hello", "--model", speaking, "--max-new-tokens", 20)
    runs = [run(*words) for _ in range(2)]
    assert runs[0][1] != runs[1][1]
    for status, out, err in runs:
        [seed] = re.findall(r"^seed (\d+)$", err, re.MULTILINE)
        again = run(*words, "--seed", seed)
        assert (status, out) == again[:2]
        assert "seed" not in again[2]  # who gave it knows it
    report = json.loads(run(*words, "--json")[1])
    again = json.loads(run(*words, "--json", "--seed", report["seed"])[1])
    assert report["new_ids"] == again["new_ids"]


def test_the_most_likely_text_has_no_seed(run, speaking):
    words = ("generate", "hello", "--model", speaking, "--temperature", 0)
    status, out, err = run(*words)
    assert "seed" not in err
    assert run(*words)[:2] == (status, out)


def test_a_text_that_is_cut_off_says_so(run, checkpoint):
    words = ("generate", "--ids", "1", "--model", checkpoint, "--temperature", 0)
    _, out, err = run(*words, "--max-new-tokens", 7)
    assert len(out.split()) == 7
    assert err.endswith("(cut off after 7 tokens: --max-new-tokens)\n")
    _, out, err = run(*words, "--max-new-tokens", 100, "--json")
    assert len(json.loads(out)["new_ids"]) == 64  # the context is 64: one was read
    assert err == "(cut off: the context is full)\n"


def test_a_text_that_the_model_ends_is_not_cut_off(run, checkpoint, monkeypatch):
    def write():
        yield from (5, 96)
        return "end of text"

    monkeypatch.setattr(generate, "generate", lambda *_, **__: Tokens(write()))
    words = ("generate", "--ids", "1", "--model", checkpoint, "--max-new-tokens", 2)
    _, out, err = run(*words)
    assert out == "5 96 \n"
    assert "cut off" not in err
    assert json.loads(run(*words, "--json")[1])["ended"] == "end of text"


def said(monkeypatch, pieces):
    """Have a model say some pieces, a token each; it notes which were drawn."""
    drawn = []

    def tokens():
        for n in range(len(pieces)):
            drawn.append(n)
            yield n
        return "max_new_tokens"

    monkeypatch.setattr(generate, "generate", lambda *_, **__: Tokens(tokens()))
    monkeypatch.setattr(
        mb.Tokenizer, "stream", lambda self, new, *_, **__: (pieces[n] for n in new)
    )
    return drawn


@pytest.mark.parametrize(
    ("stops", "text", "tokens"),
    [
        (["bird"], "a cat, a ", 6),
        (["cat", "a b"], "a ", 2),
        (["a b", "cat"], "a ", 2),
        (["at, a"], "a c", 4),
        (["cats"], "a cat, a bird", 6),
        (["d"], "a cat, a bir", 6),
        (["birds", "rd?"], "a cat, a bird", 6),
    ],
)
def test_a_text_ends_before_a_stop_wherever_that_begins(
    run, speaking, monkeypatch, stops, text, tokens
):
    drawn = said(monkeypatch, ["a ", "cat", ",", " a", " bi", "rd"])
    words = ["generate", "So: ", "--model", speaking, "--max-new-tokens", 6]
    status, out, err = run(*words, *(f"--stop={stop}" for stop in stops))
    assert (status, out, len(drawn)) == (0, f"So: {text}\n", tokens)
    assert ("cut off" in err) == (text == "a cat, a bird")
    words += [f"--stop={stop}" for stop in stops]
    ended = json.loads(run(*words, "--json")[1])["ended"]
    assert (ended == "stop") == (text != "a cat, a bird")


def test_what_may_begin_a_stop_waits_and_nothing_else(run):
    pieces = generate.cut_at(["ab", "c", "a", "bd", "ab"], ["abx"])
    assert list(pieces) == ["", "abc", "", "abd", "", "ab"]
    assert list(generate.cut_at(["ab", "c"], [])) == ["ab", "c", ""]


@pytest.mark.parametrize("system", ["Be brief.", ""])
def test_with_a_systems_message_the_prompt_is_a_question(run, speaking, system):
    words = ("generate", "hello", "--model", speaking, "--system", system)
    _, out, _ = run(*words, "--max-new-tokens", 5, "--temperature", 0)
    model, tokenizer = mb.load(speaking)
    messages = [{"role": "system", "content": system}] if system else []
    ids = tokenizer.chat([*messages, {"role": "user", "content": "hello"}])
    tokens = mb.generate(model, ids, max_new_tokens=5)
    assert out == "".join(tokenizer.stream(tokens)) + "\n"  # the answer alone


@pytest.mark.parametrize("flag", ["--stop", "--model"])
def test_an_empty_text_is_refused_where_it_means_nothing(run, flag):
    status, _, err = run("generate", "hello", flag, "")
    assert (status, err.count("\n")) == (2, 1)
    assert f"{flag}: expected a text, got an empty one" in err


@pytest.mark.parametrize("words", [("--system", ""), ("--stop", "x")])
def test_ids_have_no_use_for_texts(run, checkpoint, words):
    status, out, err = run("generate", "--ids", "1", "--model", checkpoint, *words)
    assert (status, out) == (2, "")
    assert f"{words[0]}: expected a prompt of text, got --ids" in err


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("hello\n", "hello"),
        ("hello\n\n", "hello\n"),
        ("\ufeffa\r\nb", "a\nb"),
        (" é", " é"),
    ],
)
def test_a_prompt_is_read_from_a_file_or_standard_input(
    run, speaking, tmp_path, monkeypatch, written, read
):
    content = written.encode()
    (tmp_path / "prompt.txt").write_bytes(content)
    stdin = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stdin)
    words = ("--model", speaking, "--max-new-tokens", 0)
    for source in (("--file", tmp_path / "prompt.txt"), ("-",)):
        assert run("generate", *source, *words)[:2] == (0, f"{read}\n")


def test_a_prompt_that_is_no_text_is_refused_by_the_name_of_its_file(
    run, speaking, tmp_path, monkeypatch
):
    file = tmp_path / "latin.txt"
    file.write_bytes(b"caf\xe9 ")
    monkeypatch.setattr(
        sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\xff"), encoding="utf-8")
    )
    status, _, err = run("generate", "--file", file, "--model", speaking)
    assert (status, err) == (
        *(2, f"minibitnet: {file}: expected text in utf-8, found byte 0xe9\n"),
    )
    status, _, err = run("generate", "-", "--model", speaking)
    assert (status, "standard input: expected text in utf-8" in err) == (2, True)


def test_a_prompt_without_an_end_is_refused(run, speaking, tmp_path, monkeypatch):
    monkeypatch.setattr(generate, "LONGEST", 10)
    (tmp_path / "long").write_text("0123456789\n")
    status, _, err = run("generate", "--file", tmp_path / "long", "--model", speaking)
    assert (status, "long: expected at most 10 characters" in err) == (2, True)


def test_a_prompt_that_cannot_be_read_is_named(run, speaking, tmp_path):
    for file, what in ((tmp_path, "Is a directory"), (tmp_path / "no", "No such file")):
        status, _, err = run("generate", "--file", file, "--model", speaking)
        assert (status, err.count("\n")) == (2, 1)
        assert err.startswith(f"minibitnet: {file}: {what}")


def test_loading_that_takes_long_says_so(run, speaking, monkeypatch):
    monkeypatch.setattr(options, "SOON", 0.01)
    load = options.load

    def slowly(*args, **kwargs):
        time.sleep(0.5)
        return load(*args, **kwargs)

    words = ("generate", "x", "--model", speaking, "--max-new-tokens", 0)
    line = f"loading {speaking} ...\n"
    monkeypatch.setattr(options, "load", slowly)
    assert line in run(*words)[2]
    monkeypatch.setattr(options, "SOON", 60)
    assert line not in run(*words)[2]


@pytest.mark.skipif(not POSIX, reason="needs SIGINT")
def test_what_was_written_before_ctrl_c_is_kept(tmp_path):
    process = subprocess.Popen(
        command("generate", "Once upon a time", "--max-new-tokens", 4000),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")},
    )
    begin = process.stdout.read(30)
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=60)
    assert begin.startswith(b"Once upon a time")
    assert process.returncode == 130
    assert b"Traceback" not in err
    assert len(rest) < 2000
