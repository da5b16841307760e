import errno
import os
import sys
from pathlib import Path

import pytest

from minibitnet.files import writing
from minibitnet.files.writing import (
    claim,
    expect_empty,
    new_directory,
    new_file,
    place,
    remove,
)

needs_pipes = pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")


def names(directory):
    return sorted(entry.name for entry in directory.iterdir())


def test_a_directory_has_no_file_before_all_are_there(tmp_path):
    directory = tmp_path / "a" / "b"
    with new_directory(directory) as part:
        (part / "config.json").write_text("{}")
        (part / "weights").write_text("w")
        assert names(directory) == [".unfinished"]
        assert part.stat().st_mode & 0o777 == 0o700
    assert names(directory) == ["config.json", "weights"]


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    file = tmp_path / "file"
    for old, new in (("", "first"), ("first", "second")):
        with new_file(file) as part:
            part.write_text(new)
            assert (file.read_text() if old else "") == old
            assert file.exists() == bool(old)
        assert file.read_text() == new
    with pytest.raises(IsADirectoryError), new_file(file) as part:
        part.parent.write_text("no file")
    assert (file.read_text(), names(tmp_path)) == ("second", ["file"])


@needs_pipes
def test_a_pipe_or_a_device_is_no_place_for_a_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(os.devnull)
    for name in ("pipe", "link", ""):
        place = new_file(tmp_path / name)
        with pytest.raises(ValueError, match="expected a file, found something else"):
            place.__enter__()
    assert names(tmp_path) == ["link", "pipe"]


def test_a_link_is_replaced_and_not_what_it_leads_to(tmp_path):
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    with new_file(tmp_path / "link") as part:
        part.write_text("new")
    assert [(tmp_path / n).read_text() for n in ("file", "link")] == ["old", "new"]


def test_the_config_comes_last_and_an_old_one_goes_first(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("old")
    (tmp_path / "weights").write_text("old")
    moved = []

    def replace(source, target):
        moved.append(target.name)
        assert not (tmp_path / "config.json").exists()
        os.rename(source, target)

    with claim(tmp_path) as part:
        for name in ("config.json", "weights", "zebra", "Zoo"):
            (part / name).write_text("new")
        monkeypatch.setattr(writing.os, "replace", replace)
        place(part, tmp_path)
    assert moved == ["Zoo", "weights", "zebra", "config.json"]
    assert (tmp_path / "weights").read_text() == "new"


def test_a_config_stays_where_none_is_written(tmp_path):
    (tmp_path / "config.json").write_text("old")
    with claim(tmp_path) as part:
        (part / "log").write_text("new")
        place(part, tmp_path)
    assert names(tmp_path) == ["config.json", "log"]


def test_what_fails_leaves_nothing_behind(tmp_path):
    for directory in (tmp_path / "new", tmp_path):
        with pytest.raises(IsADirectoryError), new_directory(directory) as part:
            part.write_text("no file")
        assert names(tmp_path) == []


def test_a_directory_with_something_in_it_is_refused(tmp_path):
    (tmp_path / "a\nb").touch()
    with (
        pytest.raises(ValueError, match=r"new or an empty directory, found 'a\\nb'"),
        new_directory(tmp_path),
    ):
        pass
    assert names(tmp_path) == ["a\nb"]
    expect_empty(tmp_path, but=["a\nb"])


def test_there_is_one_writer_at_a_time(tmp_path):
    with claim(tmp_path) as part:
        (part / "mine").touch()
        with (
            pytest.raises(ValueError, match="another process is writing there"),
            claim(tmp_path),
        ):
            pass
        assert (part / "mine").exists()
    with claim(tmp_path):
        pass
    assert names(tmp_path) == []


def test_a_lock_that_its_holder_has_just_removed_is_none(tmp_path):
    with (tmp_path / "lock").open("ab") as lock:
        (tmp_path / "lock").unlink()
        assert not writing._hold(lock)


def test_without_locks_all_else_holds(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with new_directory(tmp_path) as part:
        (part / "a").touch()
    assert names(tmp_path) == ["a"]


def test_what_a_killed_writer_has_left_is_thrown_away(tmp_path):
    left = tmp_path / ".unfinished"
    (left / "folder").mkdir(parents=True)
    for name in ("config.json", "lock", "folder/file"):
        (left / name).touch()
    with new_directory(tmp_path) as part:
        assert names(part) == ["lock"]
        (part / "a").touch()
    assert names(tmp_path) == ["a"]


def test_links_are_replaced_and_not_followed(tmp_path):
    out, other = tmp_path / "out", tmp_path / "other"
    out.mkdir()
    (other / "folder").mkdir(parents=True)
    (other / "file").write_text("mine")
    for name in ("file", "folder"):
        (out / name).symlink_to(other / name)
    with claim(out) as part:
        (part / "file").write_text("new")
        (part / "folder").mkdir()
        (part / "folder" / "new").touch()
        place(part, out)
    assert (other / "file").read_text() == "mine"
    assert names(other / "folder") == []
    assert names(out / "folder") == ["new"]
    (out / ".unfinished").symlink_to(other)
    with pytest.raises(ValueError, match="expected a directory, found a link"):
        claim(out).__enter__()
    remove(out / ".unfinished")
    assert names(other) == ["file", "folder"]


def test_a_folder_takes_the_name_of_the_old_one_whole(tmp_path):
    (tmp_path / "master").mkdir()
    (tmp_path / "master" / "old").touch()
    with claim(tmp_path) as part:
        (part / "master").mkdir()
        (part / "master" / "new").touch()
        place(part, tmp_path)
    assert names(tmp_path / "master") == ["new"]
    assert names(tmp_path) == ["master"]


def test_a_full_disk_is_told_with_the_directory(tmp_path):
    with pytest.raises(OSError, match="No space left") as caught:
        with new_directory(tmp_path / "model"):
            raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "model")
    with pytest.raises(OSError, match="none") as caught:
        with new_directory(tmp_path / "model"):
            (tmp_path / "none").read_bytes()
    assert Path(caught.value.filename) == tmp_path / "none"
