"""Files that appear whole, or not at all, and one writer at a time.

A process may be killed between two of the files it writes, the disk may be full before
the last of them, and two processes may be told to write into one directory. None of it
may leave something that loads. So a writer first claims the directory, and writes into
a private one inside it. When all is there, it is moved into place: an old config.json
is removed first, and the new one comes last. A directory without it is no checkpoint.

Notes
-----
The private directory is ``.unfinished``. A lock on a file in it tells a writer that is
at work from one that was killed: the system lifts it when a process ends, however it
ends. What was left is then thrown away. Moving is one step of the file system, and
where a link has the name, the link is replaced and not what it leads to.

Examples
--------
>>> import tempfile
>>> directory = Path(tempfile.mkdtemp()) / "model"
>>> with new_directory(directory) as part:
...     _ = (part / "config.json").write_text("{}")
...     [file.name for file in directory.iterdir()]
['.unfinished']
>>> [file.name for file in directory.iterdir()]
['config.json']
"""

import json
import os
import shutil
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO, Any

CONFIG_FILE = "config.json"
UNFINISHED, LOCK = ".unfinished", "lock"


@contextmanager
def new_directory(directory: Path) -> Iterator[Path]:
    """A private directory; what is written there becomes `directory` at the end.

    A ValueError if `directory` exists and is not empty.
    """
    with claim(directory) as part:
        expect_empty(directory)
        yield part
        place(part, directory)


@contextmanager
def new_file(file: Path) -> Iterator[Path]:
    """A private file; what is written there becomes `file` at the end.

    A ValueError if there is something in its place that is no file.
    """
    if file.exists() and not file.is_file():  # a pipe, say, or a device
        raise ValueError(f"{file}: expected a file, found something else")
    with TemporaryDirectory(dir=file.parent, prefix=UNFINISHED) as folder:
        part = Path(folder, file.name)
        yield part
        save(part)
        os.replace(part, file)


@contextmanager
def claim(directory: Path) -> Iterator[Path]:
    """The sole right to write into a directory, and a private one inside it, empty.

    A ValueError if another process has the right.
    """
    part, new = directory / UNFINISHED, not directory.exists()
    directory.mkdir(parents=True, exist_ok=True)
    private_directory(part)
    with (part / LOCK).open("ab") as lock:
        if not _hold(lock):
            raise ValueError(f"{directory}: another process is writing there")
        try:
            for entry in _entries(part):  # left by a process that was killed
                remove(entry)
            yield part
        except OSError as error:
            if error.filename is None:  # a full disk does not say where
                error.filename = str(directory)
            raise
        finally:
            shutil.rmtree(part, ignore_errors=True)
            if new:
                with suppress(OSError):  # it is not empty: all went well
                    directory.rmdir()


def private_directory(directory: Path) -> None:
    """Make a directory for nobody else, if it is not there."""
    if directory.is_symlink():
        raise ValueError(f"{directory}: expected a directory, found a link")
    directory.mkdir(mode=0o700, exist_ok=True)


def _hold(lock: IO[bytes]) -> bool:
    """Lock a file; whether that was possible."""
    try:
        import fcntl
    except ImportError:  # on Windows nobody notices a second writer
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return os.fstat(lock.fileno()).st_nlink > 0  # its holder has not just removed it


def _entries(part: Path) -> list[Path]:
    """What a writer has put into its private directory, config.json last."""
    found = [entry for entry in part.iterdir() if entry.name != LOCK]
    return sorted(found, key=lambda entry: (entry.name == CONFIG_FILE, entry.name))


def expect_empty(directory: Path, but: Collection[str] = ()) -> None:
    """Refuse a directory that holds something, `but` for some names."""
    found = sorted(entry.name for entry in directory.iterdir())
    others = [name for name in found if name not in (UNFINISHED, *but)]
    if others:
        raise ValueError(
            f"{directory}: expected a new or an empty directory, found {others[0]!r}"
        )


def place(part: Path, directory: Path) -> None:
    """Move all that is in a private directory into place, config.json last."""
    entries = _entries(part)
    for file in filter(Path.is_file, part.rglob("*")):
        save(file)
    if part / CONFIG_FILE in entries:
        (directory / CONFIG_FILE).unlink(missing_ok=True)
    for entry in entries:
        target = directory / entry.name
        if entry.is_dir() and target.is_dir():  # which cannot be replaced in one step
            os.replace(target, part / f"{entry.name}.old")
        os.replace(entry, target)


def save(file: Path) -> None:
    """Have a file on the disk, before others rely on it."""
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def remove(entry: Path) -> None:
    """Remove a file, a link, or a directory with all that is in it."""
    if entry.is_dir() and not entry.is_symlink():
        shutil.rmtree(entry)
    else:
        entry.unlink()


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """A JSON file for people to read, too."""
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
