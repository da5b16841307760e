"""A set of vectors read back, each array checked by its hash.

A set may have come a long way. So nothing is compared with an array that is not the one
the manifest means, and a set of another kind or contract is refused.
"""

import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

import minibitnet
from minibitnet.files.jsonfile import read_json
from minibitnet.golden.draws import draw
from minibitnet.golden.hashes import sha256
from minibitnet.golden.names import CONTRACT
from minibitnet.golden.operations import OPERATIONS
from minibitnet.golden.vectors import FORMAT, write_vectors

Array = NDArray[Any]
Entry = dict[str, Any]
DTYPES = ("int8", "uint8", "uint16", "int32", "float32", "float64")
FROZEN = Path(minibitnet.__file__).parents[1] / "vectors" / "v1"  # in a checkout
MODEL = re.compile(r"models/[a-z0-9]+")
MODEL_FILE = re.compile(rf"{MODEL.pattern}/[A-Za-z0-9_.]+")
FILE = re.compile(r"arrays/[A-Za-z0-9_.]+\.bin")


class VectorSet:
    """A directory that `minibitnet vectors` wrote."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        manifest = read_json(directory / "manifest.json")
        found = {key: manifest.get(key) for key in ("format", "version", "contract")}
        right = found["format"] == FORMAT and found["contract"] == CONTRACT
        if not right or not str(found["version"]).startswith("1."):
            self.refuse(f"{FORMAT} 1, contract {CONTRACT}", json.dumps(found))
        self.vectors: list[Entry] = []
        try:
            for vector in manifest["vectors"]:
                check_vector(vector)
                self.vectors.append(vector)
            expected = dict(name_files(manifest["models"]))
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            what = f"{type(error).__name__} {error} in vector {len(self.vectors)}"
            self.refuse("whole vectors", what)
        for file, right in expected.items():
            self.check((directory / file).read_bytes(), right, file)

    def refuse(self, expected: str, found: str) -> NoReturn:
        """Say what is wrong with the set."""
        raise ValueError(
            f"{self.directory / 'manifest.json'}: expected {expected}, "
            f"found {ascii(found):.200}"
        )

    @cached_property
    def stored(self) -> dict[str, str]:
        """The file of each array whose bytes are in the set, by its hash."""
        outputs = (e for v in self.vectors for e in v["outputs"].values())
        return {e["sha256"]: e["file"] for e in outputs if e.get("stored", True)}

    def read_input(self, entry: Entry) -> Array:
        """An input, from its file or drawn."""
        if "generator" in entry:
            made_by = entry["generator"]
            array = draw(made_by["kind"], made_by["seed"], tuple(entry["shape"]))
            raw = self.check(array.tobytes(), entry["sha256"], f"drawn from {made_by}")
            return as_array(raw, entry)
        return self.read(entry["file"], entry)

    def read_output(self, entry: Entry) -> Array | None:
        """The right output; None where the set has its hash alone."""
        file = self.stored.get(entry["sha256"])
        return None if file is None else self.read(file, entry)

    def read(self, file: str, entry: Entry) -> Array:
        """An array of the set."""
        raw = (self.directory / file).read_bytes()
        return as_array(self.check(raw, entry["sha256"], file), entry)

    def check(self, raw: bytes, expected: str, what: str) -> bytes:
        """The bytes, if they have that hash."""
        if (found := sha256(raw)) != expected:
            self.refuse(f"{what}: SHA-256 {expected}", found)
        return raw


@contextmanager
def open_set(directory: str | Path | None) -> Iterator[VectorSet]:
    """A set; by default version 1 as it stands in the repository, or written anew."""
    if directory is None and (FROZEN / "manifest.json").exists():
        directory = FROZEN
    if directory is not None:
        yield VectorSet(Path(directory))
        return
    with tempfile.TemporaryDirectory() as folder:
        yield VectorSet(write_vectors(Path(folder)))


def all_entries(vector: Entry) -> list[Entry]:
    """What a vector says of each of its arrays."""
    return [*vector["inputs"].values(), *vector["outputs"].values()]


def name_files(models: Entry) -> Iterator[tuple[str, str]]:
    """The files of the models, and the hash of each."""
    for model, files in models.items():
        for name, expected in files.items():
            if not MODEL_FILE.fullmatch(f"{model}/{name}"):
                raise ValueError(f"{model}/{name}")
            yield f"{model}/{name}", expected


def check_vector(vector: Entry) -> None:
    """See that a vector has what it takes to read it."""
    if vector["operation"] not in OPERATIONS:
        raise ValueError(vector["operation"])
    vector["id"].split("/")
    if not MODEL.fullmatch(vector["parameters"].get("model", "models/quirky")):
        raise ValueError(vector["parameters"]["model"])
    for entry in all_entries(vector):
        check_entry(entry)
    for entry in vector["outputs"].values():
        check_output(entry)


def check_entry(entry: Entry) -> None:
    """See that what is said of an array makes sense."""
    whole = all(type(size) is int and size >= 0 for size in entry["shape"])
    if entry["dtype"] not in DTYPES or not whole:
        raise ValueError(f"{entry['dtype']} {entry['shape']}")
    entry["sha256"].isalnum()
    if "generator" not in entry and not FILE.fullmatch(entry["file"]):
        raise ValueError(entry["file"])


def check_output(entry: Entry) -> None:
    """See that it is said what is right."""
    if entry["class"] == "tolerance":
        float(entry["absolute"] + entry["relative"])
    elif entry["class"] != "exact":
        raise ValueError(entry["class"])
    if not entry.get("stored", True) and len(entry["rows"]) != entry["shape"][0]:
        raise ValueError(entry["rows"])


def as_array(raw: bytes, entry: Entry) -> Array:
    """Raw bytes as the array that an entry describes."""
    little = np.dtype(entry["dtype"]).newbyteorder("<")
    flat = np.frombuffer(raw, little).astype(entry["dtype"])
    return flat.reshape(entry["shape"])
