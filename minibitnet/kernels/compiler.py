r"""A compiler: from a file of C to functions that Python can call.

A compiler turns a text into instructions for the processor that is here, a library: a
file that can be loaded into a running program. That takes a tenth of a second and gives
the same each time, so the library is kept, in a folder of the user's, and found again.

Notes
-----
A library runs with all that its user may do, so one is loaded only if this program made
it for this text and this machine. Its name says so::

    KEY-HASH.so    KEY   of the text, the command that compiles it, and all that the
                         compiler says of itself and of the processor (its macros)
                   HASH  of the library's own bytes: a damaged one is made again

And nobody else can have put it there: the folder (``minibitnet`` in
``$XDG_CACHE_HOME``, in ``~/Library/Caches`` on macOS, or else in ``~/.cache``) is the
user's own and open to nobody else (mode 0700). Where there is no such folder, the
library is made in a temporary one and forgotten when the program ends. It is written
under another name and then renamed, so that of two programs that start at once neither
finds half of it.

The command is ``$CC``, or ``cc``, with the options below. ``-march=native`` allows the
instructions of this very processor (some compilers call that ``-mcpu``);
``-ffp-contract=off`` forbids to join a product and a sum, which would leave a rounding
out. ``-ffast-math`` in ``$CC`` is taken back: a library made with it has the processor
round the smallest numbers to zero from then on, NumPy's too.

References
----------
GCC manual, "x86 Options" and "Options That Control Optimization"; XDG Base Directory
Specification (the folder).

Examples
--------
>>> first_line(b"cc: error: no such option\nand more")
'cc: error: no such option'
"""

import ctypes
import hashlib
import os
import shlex
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile

TUNED = ("-march=native", "-mcpu=native", "-O3")  # the first that is understood
EXACT = ["-ffp-contract=off", "-fno-fast-math", "-fno-unsafe-math-optimizations"]
OPTIONS = ["-O3", "-std=c11", *EXACT, "-shared", "-fPIC"]
PATIENCE = 60.0  # seconds
MOST = 2**16  # blocks of 512 bytes (some shells: 1024) that a compiler may write
OTHERS = "the other kernels need none"


def load_library(source: Path) -> ctypes.CDLL:
    """The functions of a file of C, compiled if that was not done before.

    Raises
    ------
    ValueError
        If there is no compiler, or what it makes of the file cannot be loaded.
    """
    text = source.read_bytes()
    command, macros = find_compiler()
    key = digest(text, *map(os.fsencode, command), macros)
    try:
        with library_folder() as folder:
            file = find_library(folder, key) or compile_text(text, command, folder, key)
            return ctypes.CDLL(str(file))
    except OSError as error:  # a full disk, or one from which nothing may be run
        problem = f"{command[0]}: cannot load its library: {error}"
        raise ValueError(problem) from None


def compiler_words() -> list[str]:
    """The command of the C compiler, ``$CC`` or ``cc``."""
    named = os.environ.get("CC", "")
    try:
        return shlex.split(named) or ["cc"]
    except ValueError:  # a quotation mark is missing: no program has that name
        return [named]


def has_compiler() -> bool:
    """Whether the command of the C compiler is here; it is not run."""
    return os.name == "posix" and shutil.which(compiler_words()[0]) is not None


def find_compiler() -> tuple[list[str], bytes]:
    """The command that compiles, and all macros that it defines beforehand.

    They tell its version, and which instructions the processor has.
    """
    if not has_compiler():
        raise ValueError(
            f"expected a C compiler, found no {compiler_words()[0]} (name another in "
            f"$CC; {OTHERS})"
        )
    for tuned in TUNED:
        command = [*compiler_words(), tuned, *OPTIONS]
        status, macros, said = run([*command, "-dM", "-E", "-x", "c", os.devnull])
        if status == 0:
            return command, macros
    found = first_line(said) or f"a program that fails with status {status}"
    raise ValueError(f"expected a C compiler ({OTHERS}), found {found}")


def compile_text(text: bytes, command: Sequence[str], folder: Path, key: str) -> Path:
    """Compile a text of C to a library in a folder."""
    with TemporaryDirectory(dir=folder) as inside:
        made = Path(inside, "library")
        words = [*command, "-x", "c", "-", "-o", str(made)]
        status, _, said = run(words, text)
        if status or not made.is_file():  # a pipe, say, would never end
            found = first_line(said) or "no library"
            raise ValueError(f"{command[0]}: expected a library, found {found}")
        file = folder / f"{key}-{digest(made.read_bytes())}.so"
        os.replace(made, file)
    return file


def find_library(folder: Path, key: str) -> Path | None:
    """The library of a key, if it is there and as it was written."""
    for file in folder.glob(f"{key}-*.so"):
        if file.is_file() and file.stem == f"{key}-{digest(file.read_bytes())}":
            return file
    return None


@contextmanager
def library_folder() -> Iterator[Path]:
    """The folder of the libraries; where that is not private, a temporary one."""
    try:
        folder = cache_folder()
        private = folder.is_absolute() and make_private(folder)  # $HOME may be empty
    except (OSError, RuntimeError):  # it cannot be made; there is no home
        private = False
    if private:
        yield folder
        return
    with TemporaryDirectory() as passing:
        yield Path(passing)


def cache_folder() -> Path:
    """Where a program may keep what it can make again."""
    named = Path(os.environ.get("XDG_CACHE_HOME", ""))
    usual = "Library/Caches" if sys.platform == "darwin" else ".cache"
    return (named if named.is_absolute() else Path.home() / usual) / "minibitnet"


def make_private(folder: Path) -> bool:
    """Make a folder for nobody else; whether it is one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    ours = stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid()
    return ours and not found.st_mode & 0o077 and os.access(folder, os.W_OK)


def run(words: Sequence[str], text: bytes = b"") -> tuple[int, bytes, bytes]:
    """Run a program: its status, and what it wrote to either stream.

    It gets neither more time nor more room in files, these two among them, than any
    compiler needs.
    """
    limited = ["sh", "-c", f'ulimit -f {MOST}; exec "$@"', "sh", *words]
    try:
        with TemporaryFile() as out, TemporaryFile() as err:
            done = subprocess.run(
                limited, input=text, stdout=out, stderr=err, timeout=PATIENCE
            )
            for stream in (out, err):
                stream.seek(0)
            return done.returncode, out.read(), err.read()
    except subprocess.TimeoutExpired:
        problem = f"expected an end within {PATIENCE} seconds, found none"
    except OSError as error:
        problem = str(error)
    raise ValueError(f"{words[0]}: {problem}")


def digest(*parts: bytes) -> str:
    """A hash of several byte strings."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


def first_line(said: bytes) -> str:
    """The first line of what a program wrote."""
    return said.decode(errors="replace").strip().split("\n")[0]
