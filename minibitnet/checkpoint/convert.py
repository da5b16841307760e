"""From one form of a checkpoint to another, tensor by tensor.

The same model is stored as packed codes, as masters, or in a GGUF file. On the way from
any of them to any other an array is read, changed where it must be, written and
forgotten; so it takes no more memory than the largest array does. What is kept bit for
bit and what is rounded is told in `minibitnet.checkpoint.forms`.

Notes
-----
A form that is a directory gets config.json and the tokenizer's files, a GGUF file has
both inside. What config.json said that changes no number is not kept.

GGUF has names for two architectures of this kind, both with sub-norms; a model without
them (Falcon-E, HF1BitLLM) would have to be stored as Llama, with the rows of q and k in
another order. That is refused.

A target appears whole or not at all, and nothing is replaced unasked.

Examples
--------
>>> import tempfile
>>> from minibitnet.checkpoint.synth import SMALL, write_checkpoint
>>> folder = Path(tempfile.mkdtemp())
>>> first = write_checkpoint(folder / "packed", SMALL | {"intermediate_size": 512})
>>> convert(first, folder / "model.gguf", "tq2_0")
>>> convert(folder / "model.gguf", folder / "again", "packed")
>>> sorted(file.name for file in (folder / "again").iterdir())
['config.json', 'model.safetensors']
>>> (folder / "again" / WEIGHTS).read_bytes() == (first / WEIGHTS).read_bytes()
True
"""

import shutil
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from minibitnet.checkpoint.forms import (
    PACK,
    Entry,
    Rounded,
    gguf_entries,
    master_entries,
    packed_entries,
)
from minibitnet.checkpoint.source import Source, opened
from minibitnet.checkpoint.togguf import as_published, config_metadata
from minibitnet.checkpoint.togguftokenizer import tokenizer_metadata
from minibitnet.files import ggufwriter, tensorheader
from minibitnet.files.gguf import SUFFIX, nbytes
from minibitnet.files.hub import FILES
from minibitnet.files.jsonfile import CheckpointError, CheckpointWarning
from minibitnet.files.progress import announce, progress_bar
from minibitnet.files.tensorfile import WEIGHTS, write_tensors
from minibitnet.files.writing import (
    CONFIG_FILE,
    claim,
    expect_empty,
    place,
    write_json,
)

GGUF_TYPES = {type_.lower(): type_ for type_ in PACK}
MODES = {"packed": "offline", "bf16": "online"}  # when the weights are quantized
FORMS = (*MODES, *GGUF_TYPES)
COPIED = [name for name in FILES if "*" not in name and name != CONFIG_FILE]
LARGE = 10**8  # bytes that take more than a moment to write
Make = Callable[[str], Iterator[NDArray[Any]]]


def convert(
    source: Path, target: Path, to: str, *, force: bool = False, published: bool = False
) -> None:
    """Write a checkpoint in another form.

    Parameters
    ----------
    source : Path
        A directory or a GGUF file.
    target : Path
        A directory for ``packed`` and ``bf16``, a GGUF file for the others.
    to : str
        One of `FORMS`.
    force : bool
        Whether to replace what is there.
    published : bool
        With ``i2_s``: the metadata of the published file, with the faults that it has,
        and its embedding of float16.

    Raises
    ------
    CheckpointError
        If the source is damaged, or cannot be stored in this form.
    ValueError
        If there is something at the target that is not to be replaced.

    Warns
    -----
    CheckpointWarning
        What was assumed of the source, and what was rounded.
    """
    if published and to != "i2_s":
        raise ValueError(f"as published: expected --to i2_s, found {to}")
    if (target.suffix == SUFFIX) != (to in GGUF_TYPES):
        what = f"file, NAME{SUFFIX}" if to in GGUF_TYPES else "directory"
        raise ValueError(f"{target}: expected the name of a {what}")
    rounded: Rounded = Counter()
    with opened(source) as model, destination(target, to, force) as part:
        if to in MODES:
            write_directory(part, model, to, rounded)
        else:
            write_gguf(part / target.name, model, to, rounded, published)
    for what, count in rounded.items():
        if count:
            warnings.warn(CheckpointWarning(f"{target}: {count} {what}"), stacklevel=2)


@contextmanager
def as_directory(path: Path) -> Iterator[Path]:
    """A directory with a model: itself, or a GGUF file's packed form for a while."""
    if path.suffix != SUFFIX:
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        convert(path, Path(folder) / "packed", "packed")
        yield Path(folder) / "packed"


@contextmanager
def destination(target: Path, to: str, force: bool) -> Iterator[Path]:
    """A private directory; what is written there comes to its place at the end."""
    directory = target if to in MODES else target.parent
    with claim(directory) as part:
        if to in GGUF_TYPES:
            expect_file(target, force)
        elif not force or not (target / CONFIG_FILE).exists():
            expect_empty(target)
        yield part
        written = {file.name for file in part.iterdir()}
        place(part, directory)
        for file in directory.iterdir() if to in MODES else ():
            old = any(fnmatch(file.name, pattern) for pattern in FILES)
            if old and file.name not in written:  # of the checkpoint that was there
                file.unlink()


def expect_file(target: Path, force: bool) -> None:
    """Refuse a target that is there, or could not be replaced."""
    if target.is_dir() or (target.exists() and not force):
        raise ValueError(f"{target}: expected a new file, found one that is there")


def write_directory(part: Path, model: Source, to: str, rounded: Rounded) -> None:
    """The files of a directory."""
    if to == "packed":
        entries = dict(packed_entries(model.taken))
    else:
        entries = dict(master_entries(model.taken, rounded))
    specs = {name: tensorheader.Spec(e.type, e.shape) for name, e in entries.items()}
    total = sum(spec.nbytes for spec in specs.values())
    with making(entries, total) as make:
        write_tensors(part / WEIGHTS, specs, make)
    for name in COPIED:
        if (model.directory / name).is_file():
            shutil.copyfile(model.directory / name, part / name)
    write_json(part / CONFIG_FILE, config_page(model, MODES[to]))


def write_gguf(
    file: Path, model: Source, to: str, rounded: Rounded, published: bool
) -> None:
    """A GGUF file."""
    if not model.sub_norms:
        raise CheckpointError(
            f"{model.directory}: expected sub-norms, without which no architecture of "
            "GGUF that is known here has ternary weights; found none"
        )
    type_, V, ends = GGUF_TYPES[to], model.config.vocab_size, model.config.eos_token_ids
    metadata = config_metadata(model.config, type_)
    metadata |= tokenizer_metadata(model.directory, V, ends)
    metadata = as_published(metadata) if published else metadata
    entries = dict(gguf_entries(model.taken, type_, rounded, half=published))
    specs = {name: ggufwriter.Spec(e.type, e.shape) for name, e in entries.items()}
    total = sum(nbytes(*spec) for spec in specs.values())
    with making(entries, total) as make, file.open("wb") as stream:
        ggufwriter.write_gguf(stream, metadata, specs, make)


@contextmanager
def making(entries: Mapping[str, Entry], total: int) -> Iterator[Make]:
    """What makes the pieces of an entry, and a bar that shows how many there are."""
    if total > LARGE:
        announce(f"writing {total / 1e9:.1f} GB")
    with progress_bar(total, "writing", unit="B") as advance:

        def make(name: str) -> Iterator[NDArray[Any]]:
            for piece in entries[name].pieces():
                yield piece
                advance(piece.nbytes)

        yield make


def config_page(model: Source, mode: str) -> dict[str, Any]:
    """A config.json for a model, which says when its weights are quantized."""
    numbers = {**vars(model.config)}
    ends = [*numbers.pop("eos_token_ids")]
    name = "BitNet" if model.sub_norms else "Llama"
    return {
        "architectures": [f"{name}ForCausalLM"],
        "model_type": name.lower(),
        **numbers,
        **({"bos_token_id": model.bos_ids[0]} if model.bos_ids else {}),
        **({"eos_token_id": ends[0] if len(ends) == 1 else ends} if ends else {}),
        "tie_word_embeddings": model.tied,
        "torch_dtype": "bfloat16",
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": mode,
        },
    }
