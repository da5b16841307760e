import errno
import os
import pickle
from pathlib import Path

import pytest

from minibitnet.files.jsonfile import (
    CheckpointError,
    CheckpointWarning,
    read_json,
    read_text,
    regular_file,
)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "expected JSON"),
        (b'{"a": 1', "expected JSON"),
        (b"\xff\xfe\x00{", "expected JSON"),
        (b"\xff\xfe\x00", "expected text"),
        (b"[" * 100_000, "expected JSON"),  # deeper than the parser can go
        (b"[1, 2]", "found list"),
        (b"null", "found NoneType"),
    ],
)
def test_what_is_not_a_json_object_is_refused(tmp_path, content, found):
    file = tmp_path / "config.json"
    file.write_bytes(content)
    with pytest.raises(CheckpointError, match=f"config.json: .*{found}"):
        read_json(file)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"config\.json: No such file"):
        read_json(tmp_path / "config.json")


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    file = tmp_path / "config.json"
    file.write_text('{"key": "value"}')
    assert read_json(file, 16) == {"key": "value"}
    with pytest.raises(CheckpointError, match="at most 15 bytes, found more"):
        read_json(file, 15)


def make_pipe(path):
    os.mkfifo(path)


def make_device(path):
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize("make", [Path.mkdir, make_pipe, make_device])
@pytest.mark.parametrize("read", [regular_file, read_text, read_json])
def test_what_is_no_file_is_refused_and_not_waited_for(tmp_path, make, read):
    path = tmp_path / "config.json"
    make(path)
    with pytest.raises(
        CheckpointError, match="config.json: expected a file, found something else"
    ):
        read(path)


def test_a_file_that_may_not_be_read_is_not_called_missing(tmp_path, monkeypatch):
    file = tmp_path / "config.json"
    file.write_text("{}")

    def refuse(*_):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "open", refuse)  # the root user may read everything
    with pytest.raises(CheckpointError, match=r"config\.json: Permission denied"):
        regular_file(file)


def test_a_pointer_of_git_lfs_is_called_one(tmp_path):
    file = tmp_path / "tokenizer.json"
    file.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n")
    with pytest.raises(CheckpointError, match="found a Git LFS pointer"):
        read_text(file)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32-le"])
def test_a_text_is_read_in_what_json_may_be_written_in(tmp_path, encoding):
    file = tmp_path / "config.json"
    file.write_text('{"größe": 1}', encoding=encoding)
    assert read_json(file) == {"größe": 1}


def test_a_text_in_another_encoding_is_refused(tmp_path):
    file = tmp_path / "chat_template.jinja"
    file.write_text("{{ 'größe' }}", encoding="latin-1")
    with pytest.raises(CheckpointError, match=r"jinja: expected text, found .*0xf6"):
        read_text(file)


EVIL = "\x1b[2J\x9b31m\x00\x7f\r\n\u2028\u202e\ud800 fine ü 日"


@pytest.mark.parametrize("kind", [CheckpointError, CheckpointWarning])
def test_a_message_obeys_nobody(kind):
    said = str(kind(EVIL))
    assert said == (r"\x1b[2J\x9b31m\x00\x7f\r\n\u2028\u202e\ud800 fine ü 日")
    assert str(pickle.loads(pickle.dumps(kind(EVIL)))) == said


@pytest.mark.parametrize("letter", ["a", "\x1b", "\U000e0001"])
def test_a_message_is_one_line_of_bounded_length(letter):
    said = str(CheckpointError(f"config.json: {letter * 10**6} found 7"))
    assert len(said) == 400
    assert said.startswith("config.json: ")
    assert said.endswith(" found 7")
