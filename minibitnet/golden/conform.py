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
>>> report.first.bugs[0][:44]
'It is as half-away has it: look for round() '
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.files.jsonfile import read_json
from minibitnet.golden.answers import judge, judge_files, trace_name
from minibitnet.golden.operations import OPERATIONS, OPTIONAL, locate
from minibitnet.golden.outcome import Outcome
from minibitnet.golden.report import Report
from minibitnet.golden.vectorset import Entry, VectorSet, all_entries, open_set

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
    outcomes = without_unasked(outcomes)
    files = [f for f in (port / "arrays").glob("*") if f.suffix in (".bin", ".trace")]
    written = {f"arrays/{file.name}" for file in files}
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
