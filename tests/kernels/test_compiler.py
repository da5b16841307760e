import errno
import os
import shutil
import stat
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from here import needs_compiler

from minibitnet.kernels import compiler
from minibitnet.kernels.compiler import (
    cache_folder,
    compile_text,
    digest,
    find_compiler,
    load_library,
)

pytestmark = needs_compiler


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("CC", raising=False)
    return tmp_path / "cache" / "minibitnet"


def answering(number, folder):
    source = folder / f"{number}.c"
    source.write_text(f"int answer(void) {{ return {number}; }}\n")
    return source


@pytest.fixture
def source(tmp_path):
    return answering(42, tmp_path)


@pytest.fixture
def compiled(monkeypatch):
    """What was compiled, text by text."""
    texts = []

    def spied(text, *others):
        texts.append(text)
        return compile_text(text, *others)

    monkeypatch.setattr(compiler, "compile_text", spied)
    return texts


def program(tmp_path, lines, monkeypatch):
    """Have $CC name a script, with an option of its own."""
    file = tmp_path / "my compiler"
    file.write_text(f"#!/bin/sh\nshift\n{lines}\n")
    file.chmod(0o700)
    monkeypatch.setenv("CC", f"'{file}' --mine")


def test_a_library_is_made_once_and_found_again(source, folder, compiled):
    assert [load_library(source).answer() for _ in range(3)] == [42] * 3
    assert compiled == [source.read_bytes()]
    [file] = folder.iterdir()
    assert file.stem.endswith(digest(file.read_bytes()))


def test_nobody_else_can_look_into_the_folder(source, folder):
    load_library(source)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_each_text_has_its_library(tmp_path, compiled):
    for number in (1, 2, 1):
        assert load_library(answering(number, tmp_path)).answer() == number
    assert len(compiled) == 2


def test_another_compiler_or_processor_makes_its_own(
    source, tmp_path, monkeypatch, compiled
):
    load_library(source)
    program(tmp_path, 'exec cc "$@"', monkeypatch)
    assert load_library(source).answer() == 42
    # as gcc does where the processor is another
    program(tmp_path, 'exec cc -D__AVX1024__ "$@"', monkeypatch)
    assert load_library(source).answer() == 42
    assert len(compiled) == 3


@pytest.mark.parametrize("damage", [b"", b"\x7fELF", None])
def test_a_damaged_library_is_made_again(source, folder, compiled, damage):
    load_library(source)
    [file] = folder.iterdir()
    whole = file.read_bytes()
    file.unlink()  # which is still mapped
    file.write_bytes(whole[:-1] + b"!" if damage is None else damage)
    assert load_library(source).answer() == 42
    assert len(compiled) == 2
    assert [digest(f.read_bytes()) in f.stem for f in folder.iterdir()] == [True]


def open_to_others(folder):
    folder.chmod(0o770)


def a_link(folder):
    folder.rename(folder.with_name("elsewhere"))
    folder.symlink_to(folder.with_name("elsewhere"))


def someone_elses(folder):
    if os.geteuid():
        pytest.skip("only root can give a folder away")
    os.chown(folder, 12345, -1)


@pytest.mark.parametrize("change", [open_to_others, a_link, someone_elses])
def test_what_others_might_have_put_there_is_not_loaded(
    source, tmp_path, folder, change, compiled
):
    load_library(answering(13, tmp_path))
    load_library(source)
    right, wrong = (
        next(file for file in folder.iterdir() if text_of(file, number))
        for number in (42, 13)
    )
    # as somebody would who can compute a hash
    key = right.stem.split("-")[0]
    shutil.copy(wrong, folder / f"{key}-{digest(wrong.read_bytes())}.so")
    right.unlink()
    change(folder)
    assert load_library(source).answer() == 42
    assert len(compiled) == 3


def text_of(file, number):
    """Whether a library is that of the number, by running it."""
    import ctypes

    return ctypes.CDLL(str(file)).answer() == number


def no_home(monkeypatch, tmp_path):
    def fail():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", fail)
    monkeypatch.delenv("XDG_CACHE_HOME")


def a_file_in_its_place(monkeypatch, tmp_path):
    (tmp_path / "cache").write_text("")


def home_is_wherever_one_is(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "home", Path)
    monkeypatch.delenv("XDG_CACHE_HOME")


@pytest.mark.parametrize(
    "change", [no_home, a_file_in_its_place, home_is_wherever_one_is]
)
def test_without_a_folder_it_is_made_for_this_time(
    source, tmp_path, monkeypatch, change, compiled
):
    change(monkeypatch, tmp_path)
    assert [load_library(source).answer() for _ in range(2)] == [42, 42]
    assert len(compiled) == 2


@pytest.mark.parametrize(
    ("named", "system", "folder"),
    [
        ("/somewhere", "linux", "/somewhere/minibitnet"),
        ("", "linux", "/me/.cache/minibitnet"),
        ("not/absolute", "linux", "/me/.cache/minibitnet"),
        ("", "darwin", "/me/Library/Caches/minibitnet"),
    ],
)
def test_the_folder_is_where_the_system_keeps_such_things(
    monkeypatch, named, system, folder
):
    monkeypatch.setenv("XDG_CACHE_HOME", named)
    monkeypatch.setattr(compiler.sys, "platform", system)
    monkeypatch.setattr(Path, "home", lambda: Path("/me"))
    assert cache_folder() == Path(folder)


@pytest.mark.parametrize(
    ("refused", "left"), [("-march", "-mcpu=native"), ("-m", None)]
)
def test_an_option_that_is_not_known_is_left_out(
    source, tmp_path, monkeypatch, refused, left
):
    refuse = f'for word; do case "$word" in {refused}*) exit 1;; esac; done'
    leave_out = 'exec cc $(echo "$@" | sed s/-mcpu=native//)'
    program(tmp_path, f"{refuse}\n{leave_out}", monkeypatch)
    command, _ = find_compiler()
    assert [word for word in command if "native" in word] == ([left] if left else [])
    assert load_library(source).answer() == 42


@pytest.mark.parametrize(
    ("named", "found"),
    [
        ("no-such-compiler -x", "found no no-such-compiler "),
        ("'cc", "found no 'cc "),
        ("false", "expected a C compiler .*, found a program that fails with status 1"),
        ("true", "expected a library, found no library"),
        ("echo", "expected a library, found no library"),
    ],
)
def test_what_is_no_compiler_is_named(source, monkeypatch, named, found):
    monkeypatch.setenv("CC", named)
    with pytest.raises(ValueError, match=found) as refused:
        load_library(source)
    assert "\n" not in str(refused.value)


def test_a_compiler_that_does_not_end_is_stopped(source, tmp_path, monkeypatch):
    program(tmp_path, "exec sleep 60", monkeypatch)
    monkeypatch.setattr(compiler, "PATIENCE", 0.1)
    with pytest.raises(ValueError, match="an end within 0.1 seconds"):
        load_library(source)


def test_a_program_that_cannot_be_run_is_named(source, tmp_path, monkeypatch):
    file = tmp_path / "cc"
    file.write_bytes(b"\x00\x01no program")
    file.chmod(0o700)
    monkeypatch.setenv("CC", str(file))
    with pytest.raises(ValueError, match="cc: .*Exec format error"):
        load_library(source)


def test_a_text_with_a_mistake_is_refused_in_a_line(source, folder):
    source.write_text("int answer(void) { return forty_two; }\n")
    with pytest.raises(ValueError, match="expected a library, found .+") as refused:
        load_library(source)
    assert "\n" not in str(refused.value)
    assert list(folder.iterdir()) == []  # nothing is left


def test_what_cannot_be_loaded_is_refused(source, tmp_path, monkeypatch):
    script = 'for w; do last=$w; done\necho "no library" > "$last"'
    program(tmp_path, script, monkeypatch)
    with pytest.raises(ValueError, match="cannot load its library"):
        load_library(source)


@pytest.mark.parametrize(
    "made", ["mkdir", "mkfifo", "ln -s /dev/zero", "ln -s /no/such/place"]
)
def test_what_is_no_file_is_no_library(source, tmp_path, monkeypatch, folder, made):
    make = f'[ "$last" = /dev/null ] || {made} "$last"'
    program(tmp_path, f"for w; do last=$w; done\n{make}", monkeypatch)
    with pytest.raises(ValueError, match="expected a library, found no library"):
        load_library(source)
    # nor is it one where a library was before
    monkeypatch.delenv("CC")
    load_library(source)
    [file] = folder.iterdir()
    file.unlink()
    subprocess.run([*made.split(), file], check=True)
    if made != "mkdir":
        assert load_library(source).answer() == 42
        return
    with pytest.raises(ValueError, match="cannot load its library: .*directory"):
        load_library(source)  # it is in the way; nothing is taken away


def test_a_program_that_writes_without_end_is_stopped(source, tmp_path, monkeypatch):
    for stream in (1, 2):
        program(tmp_path, f"exec yes >&{stream}", monkeypatch)
        with pytest.raises(ValueError, match="expected a C compiler .*, found"):
            load_library(source)


def test_a_full_disk_is_said_in_a_line(source, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "library")

    monkeypatch.setattr(compiler.os, "replace", fail)
    with pytest.raises(ValueError, match="cc: cannot load its library: .*No space"):
        load_library(source)


def test_a_program_that_cannot_be_started_is_said_in_a_line(source, monkeypatch):
    monkeypatch.setattr(compiler, "TemporaryFile", lambda: open("/no/such/place"))
    with pytest.raises(ValueError, match="cc: .*No such file"):
        load_library(source)


@pytest.mark.parametrize("option", ["-ffast-math", "-funsafe-math-optimizations"])
def test_a_library_leaves_the_smallest_numbers_as_they_are(source, monkeypatch, option):
    monkeypatch.setenv("CC", f"cc {option}")
    load_library(source)
    assert sys.float_info.min / 2 > 0


def test_many_at_once_find_one_library(source):
    with ThreadPoolExecutor(8) as pool:
        found = pool.map(load_library, 16 * [source])
        assert [library.answer() for library in found] == 16 * [42]
