"""A model's files from the Hugging Face hub.

The library does the work: it downloads what is missing, keeps it in a cache and shows a
bar. Here stands which files a model needs, which revision of 2B4T is meant (the one
whose hashes are published), and what to tell a user who is offline.

A repository may hold a model as safetensors or as GGUF files. The former are taken, and
of the latter the only one; of several, the one that is named, as
``owner/name/file.gguf``.

A download may be interrupted after any file. So config.json, without which a directory
is no checkpoint, is asked for when all others are there; and a directory of the user's
gets no file before all have been downloaded, into a private one inside it.
"""

import errno
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from minibitnet.files.gguf import SUFFIX
from minibitnet.files.jsonfile import CheckpointError
from minibitnet.files.progress import announce
from minibitnet.files.published import (
    FILES_SHA256,
    GGUF_FILE,
    GGUF_HUB_ID,
    HUB_ID,
    PINNED_REVISIONS,
)
from minibitnet.files.tensorfile import INDEX, WEIGHTS, read_index
from minibitnet.files.writing import (
    CONFIG_FILE,
    claim,
    expect_empty,
    place,
    private_directory,
)

FILES = [
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "*.safetensors",
    "*.safetensors.index.json",
]


DIRECTORY = f"{CONFIG_FILE} and {WEIGHTS} or {INDEX}"
ONLY_FILE = {GGUF_HUB_ID: GGUF_FILE}  # known without asking
DISK = (errno.ENOSPC, errno.EDQUOT)  # what fails here and not on the way
DOWNLOAD = ".download"  # what is there of a download that was interrupted


def is_hub_id(text: str) -> bool:
    """Whether a text could name a model on the hub, or a GGUF file of one."""
    hub_id, _ = split_id(text)
    part = r"\w(?:[\w.-]{,94}\w)?"  # the library refuses any other
    forbidden = r"(?!.*(?:--|\.\.|\.git$))"
    return re.fullmatch(f"{forbidden}{part}/{part}", hub_id, re.ASCII) is not None


def split_id(text: str) -> tuple[str, str | None]:
    """The id of a model, and which GGUF file of it is meant, if one is.

    >>> split_id("owner/name/model.gguf"), split_id("owner/name")
    (('owner/name', 'model.gguf'), ('owner/name', None))
    """
    head, _, file = text.rpartition("/")
    if "/" in head and file.endswith(SUFFIX):
        return head, file
    return text, ONLY_FILE.get(text)


def is_whole(directory: Path, hub_id: str) -> bool:
    """Whether a directory has config.json and all files of the weights.

    And for 2B4T all files whose hashes are published.
    """
    index = directory / INDEX
    weights = set(read_index(index).values()) if index.exists() else {WEIGHTS}
    published = FILES_SHA256 if hub_id == HUB_ID else ()
    names = {CONFIG_FILE, *weights, *published}
    return all((directory / name).is_file() for name in names)


def download(name: str) -> Path:
    """Where the library's cache has a model, downloaded if it is not there.

    It is a directory, or a GGUF file.

    Raises
    ------
    CheckpointError
        If it cannot be had: what to do is said.
    """
    hub_id, file = split_id(name)
    with _explained(name):
        here = _find(hub_id)
        if here and file and (here / file).is_file():
            return here / file
        if here and not file and is_whole(here, hub_id):
            return here
        return _fetch(hub_id, file)


@contextmanager
def new_download(name: str, directory: Path) -> Iterator[Path]:
    """A model's files, downloaded; what is whole at the end becomes `directory`.

    A ValueError if `directory` is not empty but for a download that was interrupted,
    which is resumed; a CheckpointError as of `download`.
    """
    with claim(directory):
        expect_empty(directory, but=[DOWNLOAD])
        announce(f"downloading {name}")
        hub_id, file = split_id(name)
        private_directory(directory / DOWNLOAD)
        there = directory / DOWNLOAD / name.replace("/", "--")
        try:
            with _explained(name):
                found = _fetch(hub_id, file, local_dir=there)
        finally:
            with suppress(OSError):  # there is something to resume
                (directory / DOWNLOAD).rmdir()
        yield there
        if found.is_file() or is_whole(there, hub_id):
            shutil.rmtree(there / ".cache", ignore_errors=True)  # the library's notes
            place(there, directory)
            shutil.rmtree(directory / DOWNLOAD)


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what the library raises into a CheckpointError that says what to do."""
    # here, not above: it takes a while to import, and few runs need it
    from huggingface_hub import errors
    from huggingface_hub.utils import logging

    # The library tries several times, and would say so each time.
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
        return
    except CheckpointError:
        raise
    except (errors.RepositoryNotFoundError, errors.HFValidationError):
        found = "no such model on the hub (nor a directory of that name)"
    except Exception as error:  # the library passes on whatever its transport raises
        if isinstance(error, OSError) and (error.filename or error.errno in DISK):
            raise
        found = f"no connection to the hub ({type(error).__name__})"
    raise CheckpointError(
        f"{name}: expected to download it, found {found}; "
        f"run `minibitnet download {name} DIR` on a machine with a network, "
        "copy DIR here and give its path"
    )


def _find(hub_id: str) -> Path | None:
    """Where the cache has a model, if it has."""
    from huggingface_hub import errors, snapshot_download

    try:
        revision = PINNED_REVISIONS.get(hub_id)
        found = snapshot_download(
            hub_id,
            revision=revision,
            allow_patterns=[*FILES, f"*{SUFFIX}"],
            ignore_patterns=["*/*"],
            local_files_only=True,
        )
    except (errors.LocalEntryNotFoundError, OSError):  # not downloaded yet, or not all
        return None
    return Path(found)


def _fetch(hub_id: str, file: str | None, **where: Any) -> Path:
    """Download a model, config.json last: the directory with all of it, or a file."""
    from huggingface_hub import HfApi, snapshot_download

    revision = PINNED_REVISIONS.get(hub_id)
    info = HfApi().model_info(hub_id, revision=revision)
    listed = [sibling.rfilename for sibling in info.siblings or ()]
    names = choose(hub_id, [name for name in listed if "/" not in name], file)
    for some in ([name for name in names if name != CONFIG_FILE], names[-1:]):
        where |= {"revision": revision, "allow_patterns": some}
        found = Path(snapshot_download(hub_id, **where))
    missing = [name for name in names if not (found / name).is_file()]
    if not missing and names[0].endswith(SUFFIX):
        return found / names[0]
    if missing or not is_whole(found, hub_id):
        raise CheckpointError(
            f"{hub_id}: expected {', '.join(missing) or DIRECTORY}, found no such file"
        )
    return found


def choose(hub_id: str, listed: Sequence[str], file: str | None) -> list[str]:
    """The files of a repository that a model needs, config.json last; or one GGUF file.

    Raises CheckpointError if there are none, or the one that is named is not there, or
    none of several is named.
    """
    gguf = [name for name in listed if name.endswith(SUFFIX)]
    if file is not None:
        if file not in gguf:
            found = ", ".join(gguf) or f"no {SUFFIX} file"
            raise CheckpointError(f"{hub_id}: expected {file}, found {found}")
        return [file]
    names = [name for name in listed if any(fnmatch(name, kind) for kind in FILES)]
    if not gguf or any(name in (WEIGHTS, INDEX) for name in names):
        if CONFIG_FILE not in names:
            raise CheckpointError(f"{hub_id}: expected {DIRECTORY}, found no such file")
        return sorted(names, key=CONFIG_FILE.__eq__)
    if len(gguf) > 1:
        expected = f"the name of one, as in {hub_id}/{gguf[0]}"
        raise CheckpointError(f"{hub_id}: expected {expected}, found {', '.join(gguf)}")
    return gguf
