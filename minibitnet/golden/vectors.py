"""Test vectors: inputs and what comes out, as files that any language can read.

Every case (`minibitnet.golden.cases`) is computed by the page and written down: the
arrays as raw little-endian bytes, and a manifest that says of each what it is. A port
reads the inputs, writes its outputs under the same names, and is compared
(`minibitnet.golden.conform`). Each vector carries its own inputs, so one step can be
tested while those before it are still wrong.

Notes
-----
::

    manifest.json           the list of vectors; manifest.schema.json is its JSON Schema
    README.md               for the author of a port
    arrays/NAME.bin, .npy   the arrays: raw, and as NumPy has them
    models/NAME/            the checkpoints of whole-model vectors

The same bytes on every machine: nothing depends on the time, the machine or the order
of a directory, and random numbers are drawn by `minibitnet.golden.draws`.
"""

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.files.progress import progress
from minibitnet.files.writing import new_directory
from minibitnet.golden.cases import (
    Case,
    Drawn,
    codes,
    floats,
    layouts,
    models,
    refused,
    text,
)
from minibitnet.golden.catches import find_catches
from minibitnet.golden.draws import draw
from minibitnet.golden.hashes import hash_rows, little_endian, sha256
from minibitnet.golden.names import CONTRACT
from minibitnet.golden.operations import answer, locate
from minibitnet.golden.quirky import LLAMA, write_quirky
from minibitnet.stories import BUILT_IN

FORMAT, VERSION = "minibitnet-vectors", "1.1.0"
FEW = 64  # numbers that stand in the manifest too
MODEL_FILES = (
    *("config.json", "generation_config.json", "model.safetensors"),
    *("tokenizer.json", "tokenizer_config.json"),
)
BESIDE = Path(__file__).parent / "set"  # README and schema, copied as they are
TOLERANCES = {
    "logits": {
        "absolute": 0,
        "relative": 2**-23,
        "reason": "A float64 sum in another order may round to the neighbouring "
        "float32, once in some ten million.",
    },
    "p": {
        "absolute": 1e-9,
        "relative": 0,
        "reason": "The last bits are those of exp; p is rounded to ten decimals here.",
    },
}
Array = NDArray[Any]


def all_cases() -> list[Case]:
    """Every case, in the order of the manifest."""
    parts = (text, refused, codes, floats, models, layouts)
    return [case for part in parts for case in part.cases()]


def compute(case: Case, directory: Path) -> dict[str, Array]:
    """The outputs of a case, those that belong to the set."""
    outputs = answer(case.operation, case.arrays, locate(case.parameters, directory))
    if case.operation == "forward":
        return {k: array for k, array in outputs.items() if models.belongs(case, k)}
    return outputs


def write_vectors(directory: Path) -> Path:
    """Write the whole set; returns the directory, which must be new or empty."""
    with new_directory(directory) as part:
        fill(part)
    return directory


def fill(directory: Path) -> None:
    """Write the files of the set into an empty directory."""
    (directory / "arrays").mkdir()
    for file in sorted(BESIDE.iterdir()):
        shutil.copyfile(file, directory / file.name)
    write_models(directory)
    cases = all_cases()
    outputs = {
        case.id: compute(case, directory) for case in progress(cases, "computing")
    }
    catches = find_catches(cases, outputs, directory)
    vectors = [
        describe(case, outputs[case.id], catches[case.id], directory) for case in cases
    ]
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "contract": CONTRACT,
        "models": dict(hash_models(directory)),
        "vectors": vectors,
    }
    lines = json.dumps(manifest, indent=1, allow_nan=False) + "\n"
    (directory / "manifest.json").write_bytes(lines.encode())


def write_models(directory: Path) -> None:
    """The checkpoints that whole-model vectors need."""
    write_quirky(directory / text.QUIRKY)
    write_quirky(directory / text.LLAMA, LLAMA)
    stories = directory / text.STORIES
    stories.mkdir()
    for name in MODEL_FILES:
        if (BUILT_IN / name).exists():
            shutil.copyfile(BUILT_IN / name, stories / name)


def hash_models(directory: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """The SHA-256 of each file of each model."""
    for model in (text.LLAMA, text.QUIRKY, text.STORIES):
        files = sorted((directory / model).iterdir())
        yield model, {file.name: sha256(file.read_bytes()) for file in files}


def describe(
    case: Case, outputs: Mapping[str, Array], catches: list[str], directory: Path
) -> dict[str, Any]:
    """A vector as the manifest has it; its arrays are written."""
    stem = case.id.replace("/", ".")
    inputs = {
        # generate has ids as input and as output
        name: say_drawn(x)
        if isinstance(x, Drawn)
        else store(x, f"{stem}.{'in.' * (name in outputs)}{name}", directory)
        for name, x in case.inputs.items()
    }
    results = {
        name: store(array, f"{stem}.{name}", directory) | say_class(name)
        if case.operation != "forward" or models.is_stored(case, name)
        else say_hashed(array, f"{stem}.{name}") | say_class(name)
        for name, array in outputs.items()
    }
    return {
        "id": case.id,
        "operation": case.operation,
        "stage": case.stage,
        "layer": case.layer,
        "seed": case.seed,
        "why": case.why,
        "catches": catches,
        "parameters": dict(case.parameters),
        "inputs": inputs,
        "outputs": results,
    }


def say_class(name: str) -> dict[str, Any]:
    """Whether an output is exact; else how far off it may be."""
    tolerance = TOLERANCES.get(name.rsplit(".", 1)[-1])
    return {"class": "tolerance"} | tolerance if tolerance else {"class": "exact"}


def say_drawn(x: Drawn) -> dict[str, Any]:
    """What draws a large input."""
    array = draw(x.kind, x.seed, x.shape)
    made_by = {"kind": x.kind, "seed": x.seed}
    return say(array) | {"generator": made_by, "sha256": sha256(array.tobytes())}


def say(array: Array) -> dict[str, Any]:
    """What kind of array it is."""
    return {"dtype": str(array.dtype), "shape": list(array.shape)}


def store(array: Array, name: str, directory: Path) -> dict[str, Any]:
    """Write an array; what the manifest says of it."""
    little = little_endian(array)
    file = f"arrays/{name}.bin"
    (directory / file).write_bytes(little.tobytes())
    np.save(directory / f"arrays/{name}.npy", little)
    entry = say(array) | {"file": file, "sha256": sha256(little.tobytes())}
    if array.dtype == np.uint8 and array.ndim == 1:  # a text, or a file
        entry["hex"] = little.tobytes().hex()
    elif array.size <= FEW and np.isfinite(array).all():
        entry["values"] = shortest(array)
    return entry


def shortest(array: Array) -> Any:
    """Nested lists, a float32 by the fewest digits that read back."""
    if array.ndim > 1:
        return [shortest(row) for row in array]
    if array.dtype == np.float32:
        return [float(str(number)) for number in array]
    return array.tolist()


def say_hashed(array: Array, name: str) -> dict[str, Any]:
    """What the manifest says of an array whose bytes are not in the set."""
    return say(array) | {
        "file": f"arrays/{name}.bin",
        "stored": False,
        "sha256": sha256(little_endian(array).tobytes()),
        "rows": hash_rows(array),
    }
