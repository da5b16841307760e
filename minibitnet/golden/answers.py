"""One answer of a port beside the right one.

A vector is answered by a file for each of its outputs, or by a trace that holds them
all. Each array is right, wrong or missing. Of a wrong one it is said where it differs
first, both numbers there, how many differ, and what kind of difference it looks like.

Notes
-----
Exact is every number that the manifest does not give a tolerance, and all integers. Of
large arrays the set has hashes of the rows alone; then the first wrong row is told.

Examples
--------
>>> entry = {"class": "tolerance", "absolute": 0, "relative": 2**-23}
>>> differing(np.float32([1, 1]), np.float32([1 + 2**-23, 1 + 2**-22]), entry)
array([False,  True])
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.golden.hashes import hash_rows, little_endian, sha256
from minibitnet.golden.names import count_heads
from minibitnet.golden.outcome import Outcome
from minibitnet.golden.patterns import TELLING, name_pattern
from minibitnet.golden.recognize import find_bugs
from minibitnet.golden.traces import read_trace
from minibitnet.golden.vectorset import Entry, VectorSet, as_array

Array = NDArray[Any]


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
        for times, what in ((2 * size, "twice"), (size / 2, "half")):
            if found == times > 0:
                detail += f": {what} the width?"
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
    pattern = name_mix_up_by_hash(found, name, vector["outputs"]) or name_pattern(
        right, found, find_ties(vector, name, tested), heads_of(vector, name)
    )
    return Outcome.of(
        vector,
        name,
        entry,
        "failed",
        f"{found[index]} where {right[index]} is right",
        index=index,
        differ=int(wrong.sum()),
        pattern=pattern,
        bugs=tuple(find_bugs(found, vector, name, tested)),
    )


def name_mix_up_by_hash(found: Array, name: str, outputs: Mapping[str, Entry]) -> str:
    """`minibitnet.golden.patterns.name_mix_up`, for which no file need be read.

    found (...)
    """
    if len(np.unique(found)) < TELLING:
        return ""
    digest = sha256(little_endian(found).tobytes())
    same = (o for o in outputs if o != name and outputs[o]["sha256"] == digest)
    return next((f"the right numbers of {other}" for other in same), "")


def judge_hash(found: Array, vector: Entry, name: str, entry: Entry) -> Outcome:
    """One answer of which the set has the hash of each row."""
    rows = hash_rows(found)
    wrong = [n for n, row in enumerate(rows) if row != entry["rows"][n]]
    if not wrong and sha256(little_endian(found).tobytes()) == entry["sha256"]:
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
