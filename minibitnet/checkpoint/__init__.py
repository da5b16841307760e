"""From a path or a hub id to a model and its tokenizer.

A checkpoint is a directory: ``config.json``, the arrays in one or several safetensors
files, and a tokenizer. Or it is one GGUF file. Here it is found and loaded.

In this order
    `open`        the files of a directory
    `configkeys`  what config.json may say
    `configfile`  config.json, read and checked
    `ggufkeys`    what a GGUF file says of a model, in the words of config.json
    `fromgguf`    its tensors in the words of a directory
    `gguftokenizer`  and its tokenizer
    `take`        the arrays, taken one by one, each checked first
    `assemble`    which array goes where in the model
    `inspect`     what a checkpoint holds, counted
    `source`      a model taken array by array, to be written anew
    `forms`       what is written for each array
    `togguf`      numbers as the metadata of a GGUF file
    `togguftokenizer`  and the tokenizer
    `convert`     from one form to another
    `synth`       a random checkpoint in the real layout

Notes
-----
Opening reads headers only. The arrays are mapped: they stay in the file until somebody
looks, and the packed matrices and the embedding are then used in place, without a copy.

A file that is mapped must stay as it is: if another program cuts it short, the system
ends this one with a bus error, which nothing in Python can catch. To change a
checkpoint in use, put a new file in the old one's place (rename it).

Whatever is wrong with the files ends in a `CheckpointError`, one line that names the
file, the tensor or key, what was expected and what was found. What is not understood is
refused. Nothing half loaded is returned. Where a file leaves a choice that transformers
would make otherwise, or contradicts itself, a `CheckpointWarning` says what was taken.

Examples
--------
>>> load("no/such/place/here")
Traceback (most recent call last):
    ...
minibitnet.files.jsonfile.CheckpointError: no/such/place/here: expected
a directory with a checkpoint, found nothing
"""

from dataclasses import replace
from pathlib import Path

from minibitnet.checkpoint.assemble import build_model
from minibitnet.checkpoint.gguftokenizer import make_tokenizer
from minibitnet.checkpoint.open import open_checkpoint, open_gguf
from minibitnet.files.gguf import SUFFIX, read_gguf
from minibitnet.files.hub import download, is_hub_id
from minibitnet.files.jsonfile import CheckpointError
from minibitnet.files.tensorfile import WEIGHTS
from minibitnet.kernels import find_head, find_kernel
from minibitnet.kernels.threads import count_threads
from minibitnet.matmul import Kernel
from minibitnet.model import Model
from minibitnet.stories import BUILT_IN
from minibitnet.tokenizer import Tokenizer, load_tokenizer


def load(
    path: str | Path | None = None,
    *,
    kernel: str | Kernel = "auto",
    threads: int | None = None,
) -> tuple[Model, Tokenizer | None]:
    """A model and its tokenizer.

    Parameters
    ----------
    path : str or Path, optional
        A directory with config.json and weights, the weights file in it, a GGUF file,
        or the id of a model on the hub, as ``"microsoft/bitnet-b1.58-2B-4T"``, which is
        downloaded; where there are several GGUF files, with the name of one:
        ``"owner/name/file.gguf"``. By default the small model that comes with the
        package.
    kernel : str or function
        How to compute the ternary product: a name in `minibitnet.kernels.NAMES`, or a
        function such as they are. All give the same; ``"c"`` is several times as fast
        and needs a C compiler.
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
        If there is no such kernel, no compiler for `c`, or less than one thread.

    Warns
    -----
    CheckpointWarning
        If something was assumed that the files do not say.
    """
    prepare = find_kernel(kernel)
    threads = count_threads(threads)
    where = find_directory(BUILT_IN if path is None else path)
    if where.suffix == SUFFIX:
        gguf = read_gguf(where)
        tokenizer, checkpoint = make_tokenizer(gguf), open_gguf(gguf)
    else:  # the tokenizer first: it is quick to fail
        tokenizer, checkpoint = load_tokenizer(where), open_checkpoint(where)
    model = build_model(checkpoint, prepare, threads)
    model = replace(model, prepare_head=find_head(kernel))
    return with_tokenizer(model, tokenizer) if tokenizer else model, tokenizer


def with_tokenizer(model: Model, tokenizer: Tokenizer) -> Model:
    """A model that also stops where its chat template ends an answer.

    The config files of many fine-tunes name the end of a document alone.
    """
    ends = dict.fromkeys([*model.config.eos_token_ids, *tokenizer.end_of_turn.values()])
    config = replace(model.config, eos_token_ids=tuple(ends))
    return replace(model, config=config, tokenizer=tokenizer)


def find_directory(path: str | Path) -> Path:
    """The directory that a user means: itself, a file in it, or a hub id's download.

    Of a GGUF file, or a directory that holds one and no config.json, the file.
    """
    where = Path(path)
    try:
        is_directory = where.is_dir()
    except OSError as error:  # a name that is too long, say
        raise CheckpointError(f"{str(path)[:80]}: {error.strerror}") from None
    if is_directory:
        return _only_gguf(where) or where
    if where.exists():
        return _of_file(where)
    if is_hub_id(str(path)):
        return download(str(path))
    raise CheckpointError(
        f"{path}: expected a directory with a checkpoint, found nothing"
    )


def _of_file(file: Path) -> Path:
    """A GGUF file itself; of a weights file the directory."""
    if file.suffix == SUFFIX:
        return file
    if file.name == WEIGHTS:
        return file.parent
    raise CheckpointError(
        f"{file}: expected a directory, {WEIGHTS} or a {SUFFIX} file, found a file"
    )


def _only_gguf(directory: Path) -> Path | None:
    """The GGUF file of a directory that has one and no config.json; else None."""
    found = list(directory.glob(f"*{SUFFIX}"))
    alone = len(found) == 1 and not (directory / "config.json").exists()
    return found[0] if alone else None
