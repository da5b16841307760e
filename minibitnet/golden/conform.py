"""Conformance: how far a port agrees with the vectors, and where it parts.

A port answers vectors: it writes its outputs under the names that the manifest gives
them. Here every answer is compared with the right one. What comes out is a level, a
count for each operation, and for the first difference in the order of computation where
it is, both numbers, and what kind of difference it looks like.

Notes
-----
The levels, in this order::

    tokens        text to ids and back
    shapes        every answer has the size that it must have
    integers      codes, sums, packed bytes; what is wrong is refused
    scales        of activations and weights
    floats        all other real numbers
    logits        and the token that they choose
    greedy text   two hundred tokens

A level is right when all its arrays are, of the operations that the port attempted; it
is reached when nothing before it is wrong or missing in part. A level of which nothing
was attempted is passed over, and the report says so. Integers are equal or wrong.
Floats are equal too, but for those that the manifest gives a tolerance, with its
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
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.files.jsonfile import read_json
from minibitnet.golden.names import count_heads
from minibitnet.golden.operations import OPERATIONS, locate
from minibitnet.golden.patterns import name_pattern
from minibitnet.golden.report import Outcome, Report
from minibitnet.golden.traces import read_trace
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
    check_operations(functions)
    outcomes: list[Outcome] = []
    with open_set(vectors) as tested:
        for vector in in_order(tested):
            if vector["operation"] in functions:
                function = functions[vector["operation"]]
                outcomes += call(function, vector, tested)
    return Report(outcomes)


def check_operations(operations: Collection[str]) -> None:
    """Refuse what is no operation."""
    if unknown := sorted({*operations} - OPERATIONS.keys()):
        raise ValueError(
            f"operations must be of {', '.join(OPERATIONS)}, "
            f"got {ascii(', '.join(unknown)):.80}"
        )


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


def conform_files(
    port: str | Path,
    vectors: str | Path | None = None,
    operations: Collection[str] = OPERATIONS,
) -> Report:
    """Compare the files that a port wrote; what it did not write is missing.

    Raises ValueError if there is no such directory or operation.
    """
    port = Path(port)
    check_operations(operations)
    if not port.is_dir():
        raise ValueError(f"{port}: expected a directory of answers, found none")
    about = read_json(port / "port.json") if (port / "port.json").exists() else {}
    name = " ".join(str(about[key]) for key in ("program", "version") if key in about)
    with open_set(vectors) as tested:
        outcomes = [
            outcome
            for vector in in_order(tested)
            if vector["operation"] in operations
            for outcome in judge_files(port, vector, tested)
        ]
        entries = (e for v in tested.vectors for e in all_entries(v))
        known = {entry.get("file") for entry in entries}
        known |= {trace_name(vector) for vector in tested.vectors}
    files = [f for f in (port / "arrays").glob("*") if f.suffix in (".bin", ".trace")]
    written = {f"arrays/{file.name}" for file in files}
    return Report(outcomes, sorted(written - known), ascii(name)[1:-1][:80])


def in_order(tested: VectorSet) -> list[Entry]:
    """The vectors in the order of computation."""
    order = [*OPERATIONS]
    return sorted(tested.vectors, key=lambda vector: order.index(vector["operation"]))


def trace_name(vector: Entry) -> str:
    """The file that may hold all outputs of a vector."""
    return f"arrays/{vector['id'].replace('/', '.')}.trace"


def judge_files(port: Path, vector: Entry, tested: VectorSet) -> Iterator[Outcome]:
    """The answers to a vector: a file for each output, or a trace for all of them."""
    stream = port / trace_name(vector)
    try:
        streamed = read_trace(stream) if stream.exists() else {}
    except ValueError as error:
        for name, entry in vector["outputs"].items():
            yield Outcome.of(vector, name, entry, "failed", str(error))
        return
    for name in vector["outputs"]:
        if name in streamed:
            yield judge(streamed[name], vector, name, tested)
        else:
            yield judge_file(port, vector, name, tested)


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
    return Outcome.of(
        vector,
        name,
        entry,
        "failed",
        f"{found[index]} where {right[index]} is right",
        index=index,
        differ=int(wrong.sum()),
        pattern=name_pattern(
            right, found, find_ties(vector, name, tested), heads_of(vector, name)
        ),
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


def heads_of(vector: Entry, name: str) -> int:
    """How many heads a row of an output is made of; 0 if of none."""
    if vector["operation"] == "attend":
        return int(vector["inputs"]["q"]["shape"][1])
    shapes = {output: entry["shape"] for output, entry in vector["outputs"].items()}
    return count_heads(name, shapes)


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
