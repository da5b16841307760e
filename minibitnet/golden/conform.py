"""Conformance: how far a port agrees with the vectors, and where it parts.

A port answers vectors: it writes its outputs under the names that the manifest gives
them. Here every answer is compared with the right one. What comes out is a level, a
count for each operation, and for the first difference in the order of computation where
it is, both numbers, and what kind of difference it looks like.

Notes
-----
The levels, each of which counts only if those before it are reached::

    tokens        text to ids and back
    shapes        every answer has the size that it must have
    integers      codes, sums, packed bytes; what is wrong is refused
    scales        of activations and weights
    floats        all other real numbers
    logits        and the token that they choose
    greedy text   two hundred tokens

A level is reached when all its vectors are answered and right. Integers are equal or
wrong. Floats are equal too, but for those that the manifest gives a tolerance, with its
reason.

Examples
--------
A port in Python is a table of functions, by operation; inputs and parameters come by
name. This one rounds halves away from zero:

>>> def quantize_activations(x):
...     largest = np.maximum(np.abs(x).max(axis=1, keepdims=True), np.float32(1e-5))
...     steps = x * (127 / largest)
...     codes = np.trunc(steps + np.copysign(np.float32(0.5), steps))
...     return codes.astype(np.int8), largest / 127
>>> report = conform({"quantize_activations": quantize_activations})
>>> report.passed, report.first.pattern
(False, 'only at ties: halves are rounded otherwise than to the even one')
>>> report.first.bugs[0][:44]
'It is as half-away has it: look for round() '
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.files.jsonfile import read_json
from minibitnet.golden.operations import OPERATIONS, OPTIONAL, locate
from minibitnet.golden.patterns import name_pattern
from minibitnet.golden.recognize import find_bugs
from minibitnet.golden.report import Outcome, Report
from minibitnet.golden.vectors import sha256
from minibitnet.golden.vectorset import (
    Entry,
    VectorSet,
    all_entries,
    as_array,
    open_set,
)

Array = NDArray[Any]
Functions = Mapping[str, Callable[..., Any]]


def conform(functions: Functions, vectors: str | Path | None = None) -> Report:
    """Hold a port in Python to the vectors of the operations that it has.

    Parameters
    ----------
    functions : dict
        From the name of an operation to a function that takes its inputs and parameters
        by name and returns its output, or a tuple or dict of them.
    vectors : str or Path, optional
        A directory that ``minibitnet vectors`` wrote; by default version 1.

    Returns
    -------
    report : Report
        ``report.passed`` is what a test asserts; its text says the rest.

    Raises
    ------
    ValueError
        If there is no such operation, or the set of vectors is not whole.
    """
    if unknown := sorted(functions.keys() - OPERATIONS.keys()):
        raise ValueError(
            f"functions must be of {', '.join(OPERATIONS)}, got {', '.join(unknown)}"
        )
    outcomes: list[Outcome] = []
    with open_set(vectors) as tested:
        for vector in in_order(tested):
            if vector["operation"] in functions:
                function = functions[vector["operation"]]
                outcomes += call(function, vector, tested)
    return Report(outcomes)


def call(
    function: Callable[..., Any], vector: Entry, tested: VectorSet
) -> Iterator[Outcome]:
    """What a function makes of a vector."""
    inputs = {name: tested.read_input(e) for name, e in vector["inputs"].items()}
    parameters = locate(vector["parameters"], tested.directory)
    entries = vector["outputs"]
    try:
        found = by_name(function(**inputs, **parameters), entries)
    except Exception as error:  # whatever it is, it is no answer
        detail = f"{type(error).__name__}: {error}"
        for name, entry in entries.items():
            yield Outcome.of(vector, name, entry, "failed", detail)
        return
    for name, entry in entries.items():
        if name in found:
            yield judge(found[name], vector, name, tested)
        else:
            yield Outcome.of(vector, name, entry, "missing")


def by_name(result: Any, entries: Mapping[str, Entry]) -> dict[str, Array]:
    """What a function returned, as arrays by the names of the outputs."""
    if not isinstance(result, Mapping):
        results = result if isinstance(result, tuple) else (result,)
        if len(results) != len(entries):
            raise ValueError(f"{len(results)} outputs, not {', '.join(entries)}")
        result = dict(zip(entries, results, strict=True))
    return {
        name: value if isinstance(value, np.ndarray) else as_written(value, entry)
        for name, entry in entries.items()
        if (value := result.get(name)) is not None
    }


def as_written(value: Any, entry: Entry) -> Array:
    """A number or a list in the dtype that it has in a file, if it fits."""
    array = np.asarray(value)
    array = array.reshape(entry["shape"]) if array.size == 1 else array
    there = array.astype(entry["dtype"])
    return there if np.array_equal(there, array) else array


def conform_files(port: str | Path, vectors: str | Path | None = None) -> Report:
    """Compare the files that a port wrote; what it did not write is missing."""
    port = Path(port)
    if not port.is_dir():
        raise ValueError(f"{port}: expected a directory of answers, found none")
    about = read_json(port / "port.json") if (port / "port.json").exists() else {}
    name = " ".join(str(about[key]) for key in ("program", "version") if key in about)
    with open_set(vectors) as tested:
        outcomes = [
            judge_file(port, vector, name, tested)
            for vector in in_order(tested)
            for name in vector["outputs"]
        ]
        entries = (e for v in tested.vectors for e in all_entries(v))
        known = {entry.get("file") for entry in entries}
    outcomes = without_unasked(outcomes)
    written = {f"arrays/{file.name}" for file in (port / "arrays").glob("*.bin")}
    return Report(outcomes, sorted(written - known), ascii(name)[1:-1][:80])


def without_unasked(outcomes: list[Outcome]) -> list[Outcome]:
    """Outcomes, but of what is left to the port and it does not do at all."""
    answered = {o.operation for o in outcomes if o.status != "missing"}
    return [
        o for o in outcomes if o.operation in answered | (set(OPERATIONS) - OPTIONAL)
    ]


def in_order(tested: VectorSet) -> list[Entry]:
    """The vectors in the order of computation."""
    order = [*OPERATIONS]
    return sorted(tested.vectors, key=lambda vector: order.index(vector["operation"]))


def judge_file(port: Path, vector: Entry, name: str, tested: VectorSet) -> Outcome:
    """One answer that is a file."""
    entry = vector["outputs"][name]
    file = port / entry["file"]
    if not file.exists():
        return Outcome.of(vector, name, entry, "missing")
    size = int(np.prod(entry["shape"])) * np.dtype(entry["dtype"]).itemsize
    found = file.stat().st_size if file.is_file() else "no file"
    if found != size:
        kind = f"{entry['dtype']} {tuple(entry['shape'])}"
        detail = f"{size} bytes are right ({kind}), found {found}"
        return Outcome.of(vector, name, entry, "failed", detail, wrong_shape=True)
    return judge(as_array(file.read_bytes(), entry), vector, name, tested)


def judge(found: Array, vector: Entry, name: str, tested: VectorSet) -> Outcome:
    """One answer against the right one."""
    entry = vector["outputs"][name]
    right = tested.read_output(entry)
    if (found.dtype, found.shape) != (np.dtype(entry["dtype"]), (*entry["shape"],)):
        wanted = np.zeros(entry["shape"], entry["dtype"]) if right is None else right
        pattern = name_pattern(wanted, found)
        return Outcome.of(
            vector, name, entry, "failed", pattern, wrong_shape=True, pattern=pattern
        )
    if right is None:
        return judge_hash(found, vector, name, entry)
    wrong = differing(right, found, entry)
    if not wrong.any():
        return Outcome.of(vector, name, entry, "passed")
    index = tuple(map(int, np.argwhere(wrong)[0]))
    pattern = name_pattern(right, found, find_ties(vector, name, tested))
    bugs = tuple(find_bugs(found, vector, name, tested))
    return Outcome.of(
        vector,
        name,
        entry,
        "failed",
        f"{found[index]} where {right[index]} is right",
        index=index,
        differ=int(wrong.sum()),
        pattern=pattern,
        bugs=bugs,
    )


def judge_hash(found: Array, vector: Entry, name: str, entry: Entry) -> Outcome:
    """One answer of which the set has the hash of each row."""
    little = np.ascontiguousarray(found, found.dtype.newbyteorder("<"))
    rows = [sha256(row.tobytes())[:16] for row in little]
    wrong = [n for n, row in enumerate(rows) if row != entry["rows"][n]]
    if not wrong and sha256(little.tobytes()) == entry["sha256"]:
        return Outcome.of(vector, name, entry, "passed")
    detail = f"{len(wrong)} of {len(rows)} rows have another hash"
    first = (wrong[0],) if wrong else None
    return Outcome.of(vector, name, entry, "failed", detail, index=first)


def differing(right: Array, found: Array, entry: Entry) -> NDArray[np.bool_]:
    """Where an answer is wrong: not equal, or outside the tolerance it is given.

    right (...), found (...) -> wrong (...)
    """
    if entry["class"] == "exact":
        return np.asarray(found != right)
    allowed = entry["absolute"] + entry["relative"] * np.abs(right.astype(np.float64))
    distance = np.abs(found.astype(np.float64) - right.astype(np.float64))
    return np.asarray(~(distance <= allowed))  # NaN is outside, too


def find_ties(vector: Entry, name: str, tested: VectorSet) -> NDArray[np.bool_] | None:
    """Where codes come of a tie: a half between two integers."""
    if name != "codes" or not vector["operation"].startswith("quantize_"):
        return None
    [x] = (tested.read_input(entry) for entry in vector["inputs"].values())
    scale = tested.read_output(vector["outputs"]["scale"])
    assert scale is not None  # it is small
    if vector["operation"] == "quantize_weights":
        steps = x / scale
    else:
        largest = np.maximum(np.abs(x).max(axis=1, keepdims=True), np.float32(1e-5))
        steps = x * (127 / largest)
    return np.asarray(np.abs(steps - np.trunc(steps)) == 0.5)
