"""What a training is between two steps, kept in files, so that it can be resumed.

That is the parameters, their two running means and the number of the step. They are
kept as they are: a training that is resumed on the same machine ends with the very same
bits as one that was not interrupted. But only if all else is the same, too. So what it
was begun with is kept beside them, and compared when it is resumed.

Notes
-----
Three files: `BEGUN`, the settings as JSON; `STATE`, the arrays; `LOG`, a line of JSON
for each step. The log is written first, so it may be ahead of the state by some steps,
which are then made again, and never behind.

A file may be damaged or be another's. It is read without trust: no array is read before
its shape and dtype are known to be the expected ones, and none is an object (a pickle),
which could run code.
"""

import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.lib import format as npy
from numpy.lib.npyio import NpzFile
from numpy.typing import NDArray

from minibitnet.files.jsonfile import CheckpointError, read_json, regular_file
from minibitnet.files.writing import CONFIG_FILE, expect_empty, place
from minibitnet.training.adamw import AdamW
from minibitnet.training.loop import Step, share_of_codes

BEGUN, STATE, LOG = "training.json", "state.npz", "log.jsonl"
DAMAGES = (
    *(BadZipFile, EOFError, KeyError, OSError, RuntimeError, ValueError),
    zlib.error,
)


def check_begun(directory: Path, settings: Mapping[str, Any]) -> None:
    """See that a directory is empty, or that of a training with these settings.

    They are numbers and texts, by the names under which a user knows them; a ValueError
    names those that differ. Where nothing has been saved they may be others.
    """
    file = directory / BEGUN
    if not file.exists():
        expect_empty(directory)
        return
    if not any((directory / name).exists() for name in (STATE, CONFIG_FILE)):
        return
    begun = read_json(file)
    others = [
        f"{name}: the run was begun with {begun.get(name)!r:.80}, now {value!r:.80}"
        for name, value in settings.items()
        if begun.get(name) != value
    ]
    if others:
        raise ValueError(
            f"{file}: {'; '.join(others)} (another training needs another directory)"
        )


def resume(optimizer: AdamW, directory: Path, part: Path) -> None:
    """Go to where the saved state stands, if there is one; the log ends there, too.

    What is written goes into `part` first (see `minibitnet.files.writing`).
    """
    if (directory / STATE).exists():
        load_state(optimizer, directory / STATE)
    (part / LOG).write_bytes(kept_lines(directory / LOG, optimizer.steps))
    place(part, directory)


def keep(
    steps: Iterable[Step],
    optimizer: AdamW,
    directory: Path,
    part: Path,
    *,
    every: int,
    total: int,
) -> Iterator[Step]:
    """The same steps, each with a line in the log, the state saved after some.

    That is `every` so many and after the last; the line then has the shares of codes.
    """
    with (directory / LOG).open("a") as log:
        for step in steps:
            line: dict[str, Any] = step._asdict()
            save = optimizer.steps % every == 0 or optimizer.steps == total
            if save:
                line["codes"] = share_of_codes(optimizer.parameters)
            log.write(json.dumps(line) + "\n")
            if save:
                log.flush()
                os.fsync(log.fileno())  # the log is never behind the state
                save_state(optimizer, part / STATE)
                place(part, directory)
            yield step


def state(optimizer: AdamW) -> dict[str, NDArray[Any]]:
    """All that a training is, by names in a file; its arrays are not copied."""
    return {
        "steps": np.array(optimizer.steps),
        **{f"parameters/{name}": w for name, w in optimizer.parameters.items()},
        **{f"m/{name}": m for name, m in optimizer.m.items()},
        **{f"v/{name}": v for name, v in optimizer.v.items()},
    }


def save_state(optimizer: AdamW, file: Path) -> None:
    """Keep a training as it stands."""
    np.savez(file, **state(optimizer))  # type: ignore[arg-type]


def load_state(optimizer: AdamW, file: Path) -> None:
    """Resume a training from where it was kept.

    A CheckpointError if the file is damaged, or of another model; nothing has changed
    then.
    """
    regular_file(file)
    with file.open("rb") as data:
        try:
            with NpzFile(data) as arrays:
                others = {*arrays.files} - state(optimizer).keys()
                if others:
                    raise ValueError(f"{min(others)}, which no training here has")
                found = {
                    name: _read(arrays, name, like)
                    for name, like in state(optimizer).items()
                }
        except DAMAGES as error:
            raise CheckpointError(
                f"{file}: expected the state of a training, found {error}"
            ) from None
    if found["steps"] < 0 or any(
        (found[f"v/{name}"] < 0).any() for name in optimizer.v
    ):
        raise CheckpointError(f"{file}: expected numbers from 0 up, found some below")
    optimizer.steps = int(found["steps"])
    for name, array in state(optimizer).items():
        array[...] = found[name]


def _read(arrays: Any, name: str, like: NDArray[Any]) -> NDArray[Any]:
    """An array of a state; a ValueError if it is not of the kind of another, or finite.

    like (...) -> array (...)
    """
    with arrays.zip.open(f"{name}.npy") as stream:
        if npy.read_magic(stream) != (1, 0):  # what `save_state` writes
            raise ValueError(f"{name} in another version of the format")
        shape, _, dtype = npy.read_array_header_1_0(stream)
    if (shape, dtype) != (like.shape, like.dtype):
        raise ValueError(f"{name} of {dtype} {shape}, not {like.dtype} {like.shape}")
    array = arrays[name]
    if not np.isfinite(array).all():
        raise ValueError(f"{name} with numbers that are not finite")
    return array


def kept_lines(log: Path, steps: int) -> bytes:
    """The lines of a log on the first steps, each checked; what comes after is left.

    A CheckpointError if one is missing or damaged.
    """
    if steps or log.exists():
        regular_file(log)
    lines = log.read_bytes().splitlines(keepends=True)[:steps] if steps else []
    for step in range(steps):
        try:
            found = json.loads(lines[step])["step"]
        except (IndexError, KeyError, RecursionError, TypeError, ValueError):
            found = None
        if found != step:
            raise CheckpointError(
                f"{log}: line {step + 1}: expected that of step {step}"
            )
    return b"".join(lines)
