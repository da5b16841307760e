"""A model's files from the Hugging Face hub.

The library does the work: it downloads what is missing, keeps it in a cache and shows a
bar. Here stands which files a model needs, which revision of 2B4T is meant (the one
whose hashes are published), and what to tell a user who is offline.
"""

import re
from functools import partial
from pathlib import Path

from minibitnet.files.jsonfile import CheckpointError
from minibitnet.files.published import PINNED_REVISIONS
from minibitnet.files.tensorfile import INDEX, WEIGHTS, read_index

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


def is_hub_id(text: str) -> bool:
    """Whether a text could name a model on the hub."""
    part = r"\w(?:[\w.-]{,94}\w)?"  # the library refuses any other
    forbidden = r"(?!.*(?:--|\.\.|\.git$))"
    return re.fullmatch(f"{forbidden}{part}/{part}", text, re.ASCII) is not None


def is_whole(directory: Path) -> bool:
    """Whether a directory has config.json and all files of the weights."""
    index = directory / INDEX
    weights = set(read_index(index).values()) if index.exists() else {WEIGHTS}
    return all((directory / file).is_file() for file in {"config.json", *weights})


def download(hub_id: str, directory: Path | None = None) -> Path:
    """The directory with a model's files, downloaded where they are missing.

    Raises
    ------
    CheckpointError
        If they cannot be had: what to do is said.
    """
    # here, not above: it takes a while to import, and few runs need it
    from huggingface_hub import errors, snapshot_download
    from huggingface_hub.utils import logging

    # The library tries several times, and would say so each time.
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    fetch = partial(
        snapshot_download,
        hub_id,
        revision=PINNED_REVISIONS.get(hub_id),
        allow_patterns=FILES,
        local_dir=directory,
    )
    if directory is None:
        try:
            found_here = Path(fetch(local_files_only=True))
        except (errors.LocalEntryNotFoundError, OSError):
            found_here = Path("nowhere")  # not downloaded yet
        if is_whole(found_here):
            return found_here
    try:
        return Path(fetch())
    except errors.RepositoryNotFoundError:
        found = "no such model on the hub (nor a directory of that name)"
    except Exception as error:  # the library passes on whatever its transport raises
        found = f"no connection to the hub ({type(error).__name__})"
    raise CheckpointError(
        f"{hub_id}: expected to download it, found {found}; "
        f"run `minibitnet download {hub_id} DIR` on a machine with a network, "
        "copy DIR here and give its path"
    )
