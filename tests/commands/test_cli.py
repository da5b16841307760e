import io
import json
import os
import select
import signal
import subprocess
import sys

import pytest
from test_tokenizer import directory as tokenizer_directory  # noqa: F401

import minibitnet as mb
from minibitnet.cli import main
from minibitnet.commands import chat, doctor, download, options
from minibitnet.files import published


@pytest.fixture(scope="module")
def speaking(tmp_path_factory, tokenizer_directory):  # noqa: F811
    """A small random model with a tokenizer."""
    directory = tmp_path_factory.mktemp("speaking") / "model"
    sizes = ["--vocab-size", "300", "--context", "64", "--hidden-size", "64"]
    main(["synth", str(directory), *sizes, "--tokenizer", str(tokenizer_directory)])
    return str(directory)


def run(capsys, *argv):
    status = main([str(word) for word in argv])
    out, err = capsys.readouterr()
    return status, out, err


def test_generate_writes_the_prompt_and_what_follows(capsys, speaking):
    words = ("generate", "hello", "--model", speaking, "--max-new-tokens", 5)
    status, out, err = run(capsys, *words)
    model, tokenizer = mb.load(speaking)
    ids, as_2b4t = tokenizer.encode("hello"), {"temperature": 0.6, "top_p": 0.9}
    tokens = mb.generate(model, ids, max_new_tokens=5, **as_2b4t)
    text = "".join(tokenizer.stream(tokens)).translate(options.CONTROLS)
    assert (status, out) == (0, f"hello{text}\n")
    assert "tokens read" in err
    assert "then 4 in" in err


def test_what_could_upset_a_terminal_is_not_printed(capsys):
    options.print_piece("a\x1b[2Jb\tc\r\nd\x7f\x9be\xe9")
    assert capsys.readouterr().out == "a\ufffd[2Jb\tc\ufffd\nd\ufffd\ufffde\xe9"


def test_generate_as_json(capsys, speaking):
    words = ("generate", "hello", "--model", speaking, "--max-new-tokens", 3, "--json")
    report = json.loads(run(capsys, *words, "--temperature", 0)[1])
    model, tokenizer = mb.load(speaking)
    ids = tokenizer.encode("hello")
    assert report["ids"] == ids
    assert report["new_ids"] == list(mb.generate(model, ids, max_new_tokens=3))
    assert report["text"] == "".join(tokenizer.stream(report["new_ids"]))
    assert report["seconds"] == sorted(report["seconds"])


def test_generate_reads_and_writes_ids_without_a_tokenizer(capsys, checkpoint):
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
    status, out, _ = run(capsys, *words)
    expected = list(mb.generate(mb.load(checkpoint)[0], [1, 2, 3], max_new_tokens=4))
    assert (status, out.split()) == (0, [str(token) for token in expected])


def test_generate_of_one_token_has_no_speed(capsys, checkpoint):
    words = ("generate", "--ids", "1", "--model", checkpoint, "--max-new-tokens", 1)
    _, out, err = run(capsys, *words)
    assert len(out.split()) == 1
    assert err.endswith(" s\n")


def test_generate_of_nothing_says_so(capsys, checkpoint):
    words = ("generate", "--ids", "1", "--model", checkpoint, "--max-new-tokens", 0)
    assert run(capsys, *words) == (0, "\n", "no tokens written\n")


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--ids", "1,x"], "--ids must be whole numbers"),
        (["--ids", "-1"], "--ids must be whole numbers"),
        (["--ids", ""], "ids must be at least one"),
        (["--ids", "97"], "ids must be from 0 to 96, got 97"),
        (["--ids", "1 " * 65], "room for 64, got 65"),
        (["--ids", "1", "--kernel", "fast"], "kernel must be one of"),
        (["--ids", "1", "--threads", "0"], "threads must be 1 or above, got 0"),
        (["--ids", "1", "--top-p", "2"], "top_p must be above 0"),
        (["--ids", "1", "--temperature", "nan"], "temperature must be 0 or above"),
        (["--ids", "1", "--max-new-tokens", "-1"], "max_new_tokens must be 0"),
        (["hello"], "text needs a tokenizer"),
    ],
)
def test_a_users_mistake_is_one_line_and_status_2(capsys, checkpoint, words, complaint):
    status, out, err = run(capsys, "generate", *words, "--model", checkpoint)
    assert (status, out) == (2, "")
    assert err.startswith("minibitnet: ")
    assert complaint in err
    assert err.count("\n") == 1


def test_chat_answers_each_question_from_the_whole_conversation(
    capsys, speaking, monkeypatch
):
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n\n  the world  \n"))
    words = ("chat", "--model", speaking, "--system", "Say.", "--max-new-tokens", 5)
    status, out, _ = run(capsys, *words, "--temperature", 0)
    model, tokenizer = mb.load(speaking)
    messages, answers = [{"role": "system", "content": "Say."}], []
    for question in ("hello", "the world"):
        messages.append({"role": "user", "content": question})
        tokens = mb.generate(model, tokenizer.chat(messages), max_new_tokens=5)
        answers.append("".join(tokenizer.stream(tokens)))
        messages.append({"role": "assistant", "content": answers[-1]})
    text = "\n".join(answers).translate(options.CONTROLS)
    assert (status, out) == (0, f"{text}\n")


def test_chat_reads_again_only_from_the_first_difference(speaking):
    reader = chat.Reader(mb.load(speaking)[0])
    assert reader.unread([1, 2, 3]) == [1, 2, 3]
    tokens = mb.generate(reader.model, [1, 2, 3], max_new_tokens=3, cache=reader.cache)
    written = list(reader.note(tokens))
    assert reader.cache.length == 5  # the last token written has not been read
    assert reader.unread([1, 2, 3, *written, 9]) == [written[-1], 9]
    assert reader.unread([1, 2, 4]) == [4]
    assert reader.cache.length == 2
    assert reader.unread([1, 2]) == [2]  # there must be something to read


def test_chat_forgets_the_oldest_turn_when_the_context_is_full(capsys, speaking):
    _, tokenizer = mb.load(speaking)
    turn = [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "world"},
    ]
    system = [{"role": "system", "content": "Say."}]
    messages = system + 2 * turn + turn[:1]
    room = len(tokenizer.chat(system + turn + turn[:1]))
    assert len(chat.fit(tokenizer, messages, room)) == room
    assert messages == system + turn + turn[:1]
    assert "forgotten" in capsys.readouterr().err
    with pytest.raises(chat.PromptTooLongError, match="room for 7"):
        chat.fit(tokenizer, messages, 7)
    assert messages == system + turn + turn[:1]  # nothing is forgotten in vain


def test_chat_goes_on_after_a_question_that_is_too_long(capsys, speaking, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello " * 99 + "\nhello\n"))
    status, out, err = run(capsys, "chat", "--model", speaking, "--max-new-tokens", 9)
    assert status == 0
    assert "there is room for" in err
    assert out.strip()


def test_ctrl_c_at_the_prompt_asks_again(monkeypatch):
    answers = [KeyboardInterrupt, "  ", "hello", EOFError]

    def answer(prompt):
        found = answers.pop(0)
        if isinstance(found, str):
            return found
        raise found

    monkeypatch.setattr("builtins.input", answer)
    assert chat.ask() == "hello"
    assert chat.ask() is None


def test_an_interrupted_answer_stays_in_the_conversation(capsys, speaking, monkeypatch):
    def interrupted(*args, **kwargs):
        yield 50
        raise KeyboardInterrupt

    monkeypatch.setattr(chat, "generate", interrupted)
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\nhello\n"))
    status, out, _ = run(capsys, "chat", "--model", speaking)
    assert (status, out.count(" ...\n")) == (0, 2)


def test_inspect_tells_where_the_bytes_go(capsys, checkpoint):
    status, out, _ = run(capsys, "inspect", checkpoint, "--json")
    report = json.loads(out)
    size = (checkpoint / "model.safetensors").stat().st_size
    assert (status, sum(report["bytes"].values())) == (0, size)
    # D = 40, F = 50, H * d = 24, G * d = 12; rows by fours, rounded up
    quarter = 6 * 40 + 2 * 3 * 40 + 10 * 24 + 2 * 13 * 40 + 10 * 50
    assert report["bytes"]["ternary matrices"] == 3 * quarter
    assert report["bytes"]["scales"] == 3 * 7 * 2
    assert report["warnings"] == []


def test_inspect_for_people(capsys, checkpoint):
    status, out, err = run(capsys, "inspect", checkpoint, "--tensors")
    assert (status, err) == (0, "")
    for text in ("hidden_size", "ternary matrices", "down_proj", "model.norm.weight"):
        assert text in out


def test_inspect_warns_of_weights_that_are_all_zero(capsys, checkpoint, tmp_path):
    content = (checkpoint / "config.json").read_bytes()
    (tmp_path / "config.json").write_bytes(content)
    weights = bytearray((checkpoint / "model.safetensors").read_bytes())
    weights[-6 * 40 :] = b"\0" * (6 * 40)  # every code -1: a download that broke off
    weights[-1] = 0b11
    (tmp_path / "model.safetensors").write_bytes(weights)
    status, _, err = run(capsys, "inspect", tmp_path)
    assert status == 1
    assert "has no +1" in err
    assert "1 codes are 3" in err


def test_inspect_of_masters_counts_no_codes(capsys):
    from minibitnet.commands.inspect import print_histogram

    print_histogram({})
    assert "quantized on loading" in capsys.readouterr().out


def test_synth_writes_nothing_over_a_checkpoint(capsys, checkpoint, tmp_path):
    status, _, err = run(capsys, "synth", checkpoint)
    assert (status, "expected no such file" in err) == (2, True)
    status, _, err = run(capsys, "synth", tmp_path / "a", "--tokenizer", tmp_path)
    assert (status, "expected tokenizer.json" in err) == (2, True)


def test_synth_like_2b4t_takes_other_sizes_too(capsys, tmp_path):
    words = ("--like", "2b4t", "--layers", 1, "--vocab-size", 64)
    status, out, _ = run(capsys, "synth", tmp_path / "a", *words)
    assert (status, out) == (0, f"{tmp_path / 'a'}\n")
    config = mb.load(tmp_path / "a")[0].config
    assert (config.hidden_size, config.num_hidden_layers) == (2560, 1)
    assert config.eos_token_ids == {63}
    words = ("--like", "2b4t", "--layers", 1, "--hidden-size", 8, "--heads", 2)
    run(capsys, "synth", tmp_path / "b", *words, "--kv-heads", 1)
    config = mb.load(tmp_path / "b")[0].config
    assert (config.vocab_size, config.eos_token_ids) == (128256, {128001, 128009})


def test_doctor_finds_all_well_here(capsys):
    status, out, _ = run(capsys, "doctor")
    assert (status, out.count("ok  "), out.count("FAIL")) == (0, 2, 0)
    status, out, _ = run(capsys, "doctor", "--json")
    assert [check["passed"] for check in json.loads(out)["checks"]] == [True, True]


def test_doctor_finds_a_kernel_that_is_wrong(capsys, monkeypatch):
    blas = doctor.KERNELS["blas"]

    def wrong(packed, rows):
        multiply = blas(packed, rows)
        return lambda x_codes: [acc + 1 for acc in multiply(x_codes)]

    monkeypatch.setitem(doctor.KERNELS, "blas", wrong)
    status, out, _ = run(capsys, "doctor")
    assert (status, out.count("FAIL")) == (1, 2)
    assert "differ from int64: auto, blas" in out


def test_doctor_tells_a_random_model_from_the_real_one(capsys, speaking):
    status, out, _ = run(capsys, "doctor", "--model", speaking)
    assert status == 1
    assert "FAIL  model.safetensors: expected 8143ae" in out
    assert "generation_config.json: expected" in out
    assert "FAIL  published logits" in out


def test_doctor_compares_answers_with_the_published_ones(monkeypatch):
    class OnlyConfig:
        class config:  # noqa: N801
            vocab_size = 128256

    logits = [[0.0] * 128256 for _ in published.LOGITS_IDS]
    means = list(published.MEAN_LOGITS)
    import numpy as np

    logits = np.repeat(np.float32(means)[:, None], 128256, axis=1)
    logits[0, :30] = published.FIRST_LOGITS
    monkeypatch.setattr(doctor, "forward", lambda model, ids: logits)
    checks = doctor.check_answers(OnlyConfig, None)
    assert [check.passed for check in checks] == [True, True]
    logits[3] += 1
    logits[0, 5] -= 2
    checks = doctor.check_answers(OnlyConfig, None)
    assert [check.passed for check in checks] == [False, False]

    class Tokenizer:
        chat = staticmethod(lambda messages: [1])
        decode = staticmethod(lambda ids: published.GREEDY_ANSWER)

    monkeypatch.setattr(doctor, "generate", lambda *args, **kwargs: iter([1]))
    assert doctor.check_answers(OnlyConfig, Tokenizer)[-1].passed


def test_download_prints_where_the_files_lie_and_checks_them(
    capsys, monkeypatch, speaking
):
    monkeypatch.setattr(download, "download", lambda hub_id, directory: speaking)
    assert run(capsys, "download", "owner/name") == (0, f"{speaking}\n", "")
    monkeypatch.setattr(
        download, "check_hashes", lambda _: [doctor.Check("a", False, "b")]
    )
    assert run(capsys, "download") == (1, f"{speaking}\n", "FAIL  a: b\n")
    status, _, err = run(capsys, "download", "bitnet")
    assert (status, "id must be owner/name" in err) == (2, True)


def test_interrupting_is_not_a_traceback(capsys, monkeypatch, checkpoint):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("minibitnet.commands.generate.generate", interrupted)
    status, _, err = run(capsys, "generate", "--ids", "1", "--model", checkpoint)
    assert (status, err) == (130, "\n")


def command(*words):
    return [sys.executable, "-m", "minibitnet", *map(str, words)]


def test_a_reader_that_leaves_early_is_no_error(checkpoint):
    words = command("inspect", checkpoint, "--tensors")
    env = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, stdout=pipe, stderr=pipe, env=env)
    process.stdout.close()
    assert process.wait(60) == 0
    assert process.stderr.read() == b""


def test_the_module_is_the_command():
    text = subprocess.run(command("--version"), capture_output=True, text=True).stdout
    assert text == f"minibitnet {mb.__version__}\n"


@pytest.mark.skipif(os.name != "posix", reason="needs a terminal")
def test_ctrl_c_stops_the_answer_and_ctrl_d_leaves(tmp_path):
    main(["synth", str(tmp_path / "model"), "--context", "8192"])
    words = command("chat", "--model", tmp_path / "model", "--max-new-tokens", 8000)
    with Terminal(words) as terminal:
        terminal.wait_for(b"> ")
        terminal.type(b"hello\n")
        terminal.wait_for(b"hello\r\n")
        terminal.wait_for(b"")  # the answer has begun; at full length it takes long
        terminal.process.send_signal(signal.SIGINT)
        terminal.wait_for(b" ...\r\n> ")
        terminal.type(b"\x04")
        assert terminal.process.wait(30) == 0


class Terminal:
    """A process that believes it talks to a person."""

    def __init__(self, words):
        self.ours, theirs = os.openpty()
        # an interrupt inside coverage's own lock would leave it locked for ever
        env = {k: v for k, v in os.environ.items() if not k.startswith("COVERAGE")}
        self.process = subprocess.Popen(
            words, stdin=theirs, stdout=theirs, stderr=theirs, env=env
        )
        os.close(theirs)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.wait()
        os.close(self.ours)

    def type(self, keys):
        os.write(self.ours, keys)

    def wait_for(self, text):
        seen = b""
        while not seen or text not in seen:
            ready, _, _ = select.select([self.ours], [], [], 30)
            assert ready, f"waited for {text}, saw {seen}"
            seen += os.read(self.ours, 1)
