"""From a path or a hub id to a model and its tokenizer.

A checkpoint is a directory: ``config.json``, the arrays in one or several safetensors
files, and a tokenizer. This module finds it, opens it, and hands what it holds to
`minibitnet.assemble`. Several files (shards) come with an index that says which array
is in which.

Notes
-----
Opening reads headers only. The arrays are mapped: they stay in the file until somebody
looks, and the packed matrices and the embedding are then used as they lie.

Whatever is wrong with the files ends in a `CheckpointError`, one line that names the
file, the tensor or key, what was expected and what was found. Nothing half loaded is
returned.

Examples
--------
>>> load("no/such/place/here")
Traceback (most recent call last):
    ...
minibitnet.files.jsonfile.CheckpointError: no/such/place/here: expected
a directory with a checkpoint, found nothing
"""

from pathlib import Path

from minibitnet.assemble import build_model
from minibitnet.config import Config, parse_config
from minibitnet.files.hub import download, is_hub_id
from minibitnet.files.jsonfile import CheckpointError, read_json
from minibitnet.files.tensorfile import INDEX, WEIGHTS, Tensor, read_tensors
from minibitnet.kernels import check_kernel
from minibitnet.kernels.threads import count_threads
from minibitnet.model import Model
from minibitnet.models import BUILT_IN
from minibitnet.tokenizer import Tokenizer, load_tokenizer


def load(
    path: str | Path | None = None,
    *,
    kernel: str = "auto",
    threads: int | None = None,
) -> tuple[Model, Tokenizer | None]:
    """A model and its tokenizer.

    Parameters
    ----------
    path : str or Path, optional
        A directory with config.json and weights, the weights file in it, or the id of a
        model on the hub, as ``"microsoft/bitnet-b1.58-2B-4T"``, which is downloaded. By
        default the small model that comes with the package.
    kernel : str
        How to compute the ternary product, see `minibitnet.kernels`; all give the same.
    threads : int, optional
        How many compute at once, by default as many as there are cores; the result is
        the same.

    Returns
    -------
    model : Model
        Ready to run.
    tokenizer : Tokenizer or None
        None if the directory has no tokenizer.json.

    Raises
    ------
    CheckpointError
        If the files are missing, damaged, or ask for what the model cannot do.
    ValueError
        If there is no such kernel, or less than one thread.
    """
    check_kernel(kernel)
    threads = count_threads(threads)
    directory = find_directory(BUILT_IN if path is None else path)
    tokenizer = load_tokenizer(directory)  # first: it is quick to fail
    config, tensors = open_checkpoint(directory)
    return build_model(config, tensors, kernel, threads), tokenizer


def find_directory(path: str | Path) -> Path:
    """The directory that a user means.

    Parameters
    ----------
    path : str or Path
        A directory, a file in it, or the id of a model on the hub.

    Returns
    -------
    directory : Path
        Where the files lie; downloaded if need be.

    Raises
    ------
    CheckpointError
        If there is nothing of that name.
    """
    where = Path(path)
    try:
        is_directory = where.is_dir()
    except OSError as error:  # a name that is too long, say
        raise CheckpointError(f"{str(path)[:80]}: {error.strerror}") from None
    if is_directory:
        return where
    if where.name == WEIGHTS and where.exists():
        return where.parent
    if where.exists():
        raise CheckpointError(
            f"{path}: expected a directory or {WEIGHTS}, found a file"
        )
    if is_hub_id(str(path)):
        return download(str(path))
    raise CheckpointError(
        f"{path}: expected a directory with a checkpoint, found nothing"
    )


def open_checkpoint(directory: Path) -> tuple[Config, dict[str, Tensor]]:
    """The numbers and the arrays of a directory.

    Parameters
    ----------
    directory : Path
        With config.json and one or several safetensors files.

    Returns
    -------
    config : Config
        The numbers.
    tensors : dict
        The arrays by name, mapped.

    Raises
    ------
    CheckpointError
        If a file is missing or damaged.
    """
    generation_file = directory / "generation_config.json"
    generation = read_json(generation_file) if generation_file.exists() else None
    config_file = directory / "config.json"
    config = parse_config(read_json(config_file), generation, where=str(config_file))
    if (directory / WEIGHTS).exists():
        tensors = read_tensors(directory / WEIGHTS)
    elif (directory / INDEX).exists():
        tensors = _read_shards(directory)
    else:
        raise CheckpointError(
            f"{directory}: expected {WEIGHTS} or {INDEX}, found neither"
        )
    return config, tensors


def _read_shards(directory: Path) -> dict[str, Tensor]:
    """The arrays of several files, each in the file that the index names."""
    index = directory / INDEX
    places = _read_index(index)
    tensors: dict[str, Tensor] = {}
    for file in sorted(set(places.values())):
        tensors |= read_tensors(directory / file)
    for name in sorted(places.keys() | tensors.keys()):
        expected = places.get(name, "no file")
        found = tensors[name].file.name if name in tensors else "no file"
        if found != expected:
            raise CheckpointError(
                f"{index}: {name}: expected in {expected}, found in {found}"
            )
    return tensors


def _read_index(index: Path) -> dict[str, str]:
    """In which file each array is; files lie beside the index, nowhere else."""
    places = read_json(index).get("weight_map")
    if not isinstance(places, dict) or not places:
        raise CheckpointError(f"{index}: weight_map: expected names, found {places!r}")
    for name, file in places.items():
        if not isinstance(file, str) or Path(file).name != file:
            raise CheckpointError(
                f"{index}: {name}: expected the name of a file, found {file!r}"
            )
    return places
