import io
import re
import signal
import sys

import pytest
from process import POSIX, Terminal, command, execute

import minibitnet as mb
from minibitnet.cli import main
from minibitnet.commands import chat, streams

needs_terminal = pytest.mark.skipif(not POSIX, reason="needs a terminal")


class Person(io.StringIO):
    """Input that says it is a terminal."""

    def isatty(self):
        return True


def test_chat_answers_each_question_from_the_whole_conversation(
    run, speaking, monkeypatch
):
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n\n  the world  \n"))
    words = ("chat", "--model", speaking, "--system", "Say.", "--max-new-tokens", 5)
    status, out, _ = run(*words, "--temperature", 0)
    model, tokenizer = mb.load(speaking)
    messages, answers = [{"role": "system", "content": "Say."}], []
    for question in ("hello", "the world"):
        messages.append({"role": "user", "content": question})
        tokens = mb.generate(model, tokenizer.chat(messages), max_new_tokens=5)
        answers.append("".join(tokenizer.stream(tokens)))
        messages.append({"role": "assistant", "content": answers[-1]})
    text = "\n".join(answers)
    assert (status, out) == (0, f"{text}\n")


def test_chat_drops_the_oldest_turns_when_the_context_is_full(
    run, speaking, monkeypatch
):
    questions = 6 * ["the whole wide world"]
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n".join(questions)))
    seen = []
    whole = chat.fit

    def noted(tokenizer, messages, room):
        seen.append((len(messages), len(whole(tokenizer, messages, room))))
        return whole(tokenizer, messages, room)

    monkeypatch.setattr(chat, "fit", noted)
    words = ("chat", "--model", speaking, "--max-new-tokens", 2)
    status, _, err = run(*words)
    dropped = [before - after for before, after in seen]
    assert (status, err.count(chat.FULL)) == (0, sum(map(bool, dropped)))
    assert any(dropped)
    # what was dropped is not in the next turn: one question and one answer more
    assert [before for before, _ in seen[1:]] == [after + 2 for _, after in seen[:-1]]


def test_chat_goes_on_after_a_question_that_is_too_long(run, speaking, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello " * 99 + "\nhello\n"))
    status, out, err = run("chat", "--model", speaking, "--max-new-tokens", 9)
    assert status == 0
    assert "there is room for" in err
    assert out.strip()


class Lines:
    """In place of `input`: lines, interrupts, the end."""

    def __init__(self, *lines):
        self.lines = [*lines]

    def __call__(self, prompt=""):
        line = self.lines.pop(0)
        if isinstance(line, str):
            return line
        raise line


def test_ctrl_c_at_the_prompt_asks_again(monkeypatch):
    lines = Lines(KeyboardInterrupt, "  ", "hello", EOFError)
    monkeypatch.setattr("builtins.input", lines)
    monkeypatch.setattr(sys, "stdin", Person())  # which cannot be waited for
    assert chat.ask() == "hello"
    assert chat.ask() is None


def test_lines_that_come_together_are_one_message(monkeypatch):
    more = iter([True, True, False, True])
    lines = Lines("one", "", "two", "three", EOFError)
    monkeypatch.setattr("builtins.input", lines)
    monkeypatch.setattr(chat, "more_is_there", lambda: next(more))
    monkeypatch.setattr(sys, "stdin", Person())
    assert chat.ask() == "one\n\ntwo"
    assert chat.ask() == "three"


def interrupt_answers(monkeypatch):
    def interrupted(*args, **kwargs):
        yield 50
        raise KeyboardInterrupt

    monkeypatch.setattr(chat, "generate", interrupted)


def test_an_interrupted_answer_stays_in_the_conversation(run, speaking, monkeypatch):
    interrupt_answers(monkeypatch)
    questions = iter(["hello", "hello", None])
    monkeypatch.setattr(chat, "ask", lambda: next(questions))
    monkeypatch.setattr(sys, "stdin", Person())
    status, out, _ = run("chat", "--model", speaking)
    assert (status, out.count(" ...\n")) == (0, 2)


def test_without_a_person_an_interrupt_is_the_end(run, speaking, monkeypatch):
    interrupt_answers(monkeypatch)
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\nhello\n"))
    status, out, _ = run("chat", "--model", speaking)
    assert (status, out.count(" ...\n")) == (130, 1)


def test_an_interrupt_between_the_lines_of_a_pipe_is_the_end(monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(chat, "read_line", interrupted)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(KeyboardInterrupt):
        chat.ask()


def test_an_answer_that_is_cut_off_says_so(run, speaking, monkeypatch):
    words = ("chat", "--model", speaking, "--temperature", 0)
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n"))
    assert "(cut off after 3 tokens" in run(*words, "--max-new-tokens", 3)[2]
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\n"))
    assert "(cut off: the context is full)" in run(*words)[2]


def test_a_chat_says_by_which_seed_it_can_be_had_again(run, speaking, monkeypatch):
    words = ("chat", "--model", speaking, "--max-new-tokens", 9)
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\nhello\n"))
    _, out, err = run(*words)
    [seed] = re.findall(r"^seed (\d+)$", err, re.MULTILINE)
    monkeypatch.setattr(sys, "stdin", io.StringIO("hello\nhello\n"))
    assert run(*words, "--seed", seed)[1] == out


def test_half_a_letter_is_said_to_be_no_text(run, speaking, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("\ud83d\nhello\n"))
    status, out, err = run("chat", "--model", speaking, "--max-new-tokens", 0)
    assert (status, out.count("\n"), "must be UTF-8" in err) == (0, 1, True)


def test_a_line_without_an_end_is_refused(run, speaking, monkeypatch):
    monkeypatch.setattr(streams, "LONGEST", 10)
    monkeypatch.setattr(sys, "stdin", io.StringIO("01234567890\n"))
    status, _, err = run("chat", "--model", speaking)
    assert (status, "lines of at most 10 characters" in err) == (2, True)


def test_a_chat_through_pipes_goes_on_after_bytes_that_are_no_text(speaking):
    words = ("chat", "--model", speaking, "--max-new-tokens", 3)
    status, _, err = execute(*words, input=b"hi\n\377\376 bad\nwho are you?\n")
    assert (status, err.count(b"cut off")) == (0, 3)


@needs_terminal
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


@needs_terminal
@pytest.mark.parametrize("term", ["dumb", "xterm"])
def test_pasted_lines_are_one_message(speaking, term, monkeypatch):
    monkeypatch.setenv("TERM", term)
    words = command("chat", "--model", speaking, "--max-new-tokens", 1)
    with Terminal(words) as terminal:
        terminal.wait_for(b"> ")
        for keys in (b"one\rtwo\rthree\r", b"four\r"):
            terminal.type(keys)
            seen = terminal.wait_for(b"(cut off after 1 tokens")
            seen += terminal.wait_for(b"> ")
            assert seen.count(b"(cut off after 1 tokens") == 1
        terminal.type(b"\x04")
        assert terminal.process.wait(30) == 0
