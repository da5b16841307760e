import io
import json
import os
import subprocess
import sys

import pytest
from process import POSIX, Terminal, command, execute

from minibitnet.commands import streams

EVIL = "\x1b]0;owned\x07\x1b[2J\x9b31m\x7f"
posix = pytest.mark.skipif(not POSIX, reason="streams of a shell")


@pytest.mark.parametrize("encoding", ["ascii", "cp1252", "utf-8"])
def test_a_letter_that_an_encoding_lacks_is_written_out(speaking, encoding):
    env = {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
    words = ("generate", "Zoë saw 日本", "--model", speaking, "--max-new-tokens", 0)
    status, out, _ = execute(*words, env=env)
    written = "Zoë saw 日本\n".encode(encoding, "backslashreplace")
    assert (status, out.replace(b"\r", b"")) == (0, written)


def test_what_a_program_reads_is_ascii(capsys):
    content = {"a": f"日本 {EVIL} \ud83d \U0001f600"}
    streams.print_json(content)
    out = capsys.readouterr().out
    assert out.isascii()
    assert {ord(c) for c in out} & {*streams.CONTROLS} == {ord("\n")}
    assert json.loads(out) == content


def test_no_control_character_is_left_in_a_text_that_is_made_visible():
    every = "".join(map(chr, range(0x250)))
    assert not {*map(ord, streams.visible(every))} & {*streams.CONTROLS}
    assert streams.visible("\u65e5 a\x9b\n") == "日 a\\x9b\\n"


class Screen(io.StringIO):
    """Output that says it is a terminal."""

    def isatty(self):
        return True


def test_a_text_goes_to_a_file_as_it_is_and_steers_no_terminal(monkeypatch):
    text = "a\x1b[2Jb\tc\r\nd\x7f\x9be\xe9"
    for stream, expected in (
        (io.StringIO(newline=""), text),
        (Screen(newline=""), "a\ufffd[2Jb\tc\ufffd\nd\ufffd\ufffde\xe9"),
    ):
        monkeypatch.setattr(sys, "stdout", stream)
        streams.print_piece(text)
        assert stream.getvalue() == expected


@posix
def test_a_prompt_on_a_terminal_steers_nothing(speaking):
    words = command("generate", EVIL, "--model", speaking, "--max-new-tokens", "0")
    with Terminal(words) as terminal:
        seen = terminal.wait_for(b"no tokens written")
    assert b"owned" in seen
    assert not {*seen} & {0x1B, 0x07, 0x7F}


@pytest.mark.parametrize("error", [OSError, BrokenPipeError])
def test_a_note_that_cannot_be_written_stops_nothing(monkeypatch, tmp_path, error):
    with open(tmp_path / "err", "wb") as file:

        class Full(io.StringIO):
            def write(self, text):
                raise error

            def fileno(self):
                return file.fileno()

        monkeypatch.setattr(sys, "stderr", Full())
        streams.note("hello")
        file.write(b"what comes later")  # leads nowhere, and fails no more
    assert (tmp_path / "err").read_bytes() == b""


def shell(line):
    """Run a line of a shell, MINIBITNET being the command: its status and output."""
    python = f"'{sys.executable}' -m minibitnet"
    env = {k: v for k, v in os.environ.items() if k != "PYTHONUNBUFFERED"}
    line = "set -o pipefail; " + line.replace("MINIBITNET", python)
    done = subprocess.run(
        ["bash", "-c", line], env=env, capture_output=True, text=True, timeout=100
    )
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    return done.returncode, done.stdout, done.stderr


FULL = "minibitnet: standard output: No space left on device\n"
full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")


@posix
@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("MINIBITNET costs >&-", (0, "", "")),
        ("MINIBITNET generate --ids 5 --max-new-tokens 1 --temperature 0 2>&-", None),
        ("MINIBITNET chat <&- 2>/dev/null", (0, "", "")),
        ("MINIBITNET inspect no/such/place 2>&-", (2, "", "")),
        ("MINIBITNET --version >&- 2>&- <&-", (0, "", "")),
        ("MINIBITNET costs --json | true", (0, "", "")),
        ("MINIBITNET chat --help | true", (0, "", "")),
        ("MINIBITNET generate --ids 5 2>&1 | head -1 >/dev/null", (0, "", "")),
        pytest.param("MINIBITNET costs >/dev/full", (2, "", FULL), marks=full),
        pytest.param("MINIBITNET --help >/dev/full", (2, "", FULL), marks=full),
        pytest.param("MINIBITNET nonsense 2>/dev/full", (2, "", ""), marks=full),
    ],
)
def test_a_stream_that_is_closed_or_full_is_a_line_at_most(line, expected):
    found = shell(line)
    if expected is None:  # a token, and nothing of what belongs on standard error
        assert (found[0], found[2]) == (0, "")
        assert found[1].strip().isdecimal()
    else:
        assert found == expected


@posix
def test_no_file_takes_the_place_of_a_closed_stream():
    program = """
import os, sys
from minibitnet.commands import streams
streams.prepare()
assert all([sys.stdin, sys.stdout, sys.stderr])
assert os.open(os.devnull, os.O_RDONLY) > 2
print("lost", file=sys.stderr)
os._exit(7)
"""
    words = ["bash", "-c", '"$0" -c "$1" <&- >&- 2>&-', sys.executable, program]
    assert subprocess.run(words, timeout=60).returncode == 7


def test_streams_of_other_programs_are_left_alone(monkeypatch):
    others = [io.StringIO() for _ in range(3)]
    for name, stream in zip(("stdin", "stdout", "stderr"), others, strict=True):
        monkeypatch.setattr(sys, name, stream)
    streams.prepare()
    streams.accept_any_input()
    assert [sys.stdin, sys.stdout, sys.stderr] == others
