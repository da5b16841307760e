import pytest

from minibitnet import CheckpointError
from minibitnet.files import jsonfile
from minibitnet.files.jsonfile import read_json


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "expected JSON"),
        (b'{"a": 1', "expected JSON"),
        (b"\xff\xfe\x00{", "expected JSON"),
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


def test_a_file_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(jsonfile, "LARGEST_FILE", 10)
    file = tmp_path / "config.json"
    file.write_text('{"key": "value"}')
    with pytest.raises(CheckpointError, match="at most 10 bytes, found 16"):
        read_json(file)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="expected a file, found something else"):
        read_json(tmp_path)
