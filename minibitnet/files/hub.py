"""A model's files from the Hugging Face hub.

The library does the work: it downloads what is missing, keeps it in a cache and shows a
bar. Here stands which files a model needs, which revision of 2B4T is meant (the one
whose hashes are published), and what to tell a user who is offline.

A download may be interrupted after any file. So config.json, without which a directory
is no checkpoint, is asked for when all others are there; and a directory of the user's
gets no file before all have been downloaded, into a private one inside it.
"""

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from minibitnet.files.jsonfile import CheckpointError
from minibitnet.files.progress import announce
from minibitnet.files.published import FILES_SHA256, HUB_ID, PINNED_REVISIONS
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


DISK = (errno.ENOSPC, errno.EDQUOT)  # what fails here and not on the way
DOWNLOAD = ".download"  # what is there of a download that was interrupted


def is_hub_id(text: str) -> bool:
    """Whether a text could name a model on the hub."""
    part = r"\w(?:[\w.-]{,94}\w)?"  # the library refuses any other
    forbidden = r"(?!.*(?:--|\.\.|\.git$))"
    return re.fullmatch(f"{forbidden}{part}/{part}", text, re.ASCII) is not None


def is_whole(directory: Path, hub_id: str) -> bool:
    """Whether a directory has config.json and all files of the weights.

    And for 2B4T all files whose hashes are published.
    """
    index = directory / INDEX
    weights = set(read_index(index).values()) if index.exists() else {WEIGHTS}
    published = FILES_SHA256 if hub_id == HUB_ID else ()
    names = {CONFIG_FILE, *weights, *published}
    return all((directory / name).is_file() for name in names)


def download(hub_id: str) -> Path:
    """The directory in the library's cache with a model, downloaded if it is not there.

    Raises
    ------
    CheckpointError
        If it cannot be had: what to do is said.
    """
    with _explained(hub_id):
        found_here = _find(hub_id)
        if found_here and is_whole(found_here, hub_id):
            return found_here
        return _fetch(hub_id)


@contextmanager
def new_download(hub_id: str, directory: Path) -> Iterator[Path]:
    """A model's files, downloaded; what is whole at the end becomes `directory`.

    A ValueError if `directory` is not empty but for a download that was interrupted,
    which is resumed; a CheckpointError as of `download`.
    """
    with claim(directory):
        expect_empty(directory, but=[DOWNLOAD])
        announce(f"downloading {hub_id}")
        private_directory(directory / DOWNLOAD)
        there = directory / DOWNLOAD / hub_id.replace("/", "--")
        try:
            with _explained(hub_id):
                _fetch(hub_id, local_dir=there)
        finally:
            with suppress(OSError):  # there is something to resume
                (directory / DOWNLOAD).rmdir()
        yield there
        if is_whole(there, hub_id):
            shutil.rmtree(there / ".cache", ignore_errors=True)  # the library's notes
            place(there, directory)
            shutil.rmtree(directory / DOWNLOAD)


@contextmanager
def _explained(hub_id: str) -> Iterator[None]:
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
        f"{hub_id}: expected to download it, found {found}; "
        f"run `minibitnet download {hub_id} DIR` on a machine with a network, "
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
            allow_patterns=FILES,
            ignore_patterns=["*/*"],
            local_files_only=True,
        )
    except (errors.LocalEntryNotFoundError, OSError):  # not downloaded yet, or not all
        return None
    return Path(found)


def _fetch(hub_id: str, **where: Any) -> Path:
    """Download a model's files, config.json last; the directory that has them all."""
    from huggingface_hub import HfApi, snapshot_download

    revision = PINNED_REVISIONS.get(hub_id)
    info = HfApi().model_info(hub_id, revision=revision)
    listed = [file.rfilename for file in info.siblings or ()]
    top = [name for name in listed if "/" not in name]  # others are of another form
    names = [name for name in top if any(fnmatch(name, kind) for kind in FILES)]
    for some in ([name for name in names if name != CONFIG_FILE], [CONFIG_FILE]):
        where |= {"revision": revision, "allow_patterns": some}
        found = Path(snapshot_download(hub_id, **where))
    missing = [name for name in names if not (found / name).is_file()]
    if missing or not is_whole(found, hub_id):
        what = ", ".join(missing) or f"{CONFIG_FILE} and {WEIGHTS} or {INDEX}"
        raise CheckpointError(f"{hub_id}: expected {what}, found no such file")
    return found
