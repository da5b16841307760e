"""Recognize which known bug gives just the wrong answer that a port gave.

A vector says which bugs of the zoo it catches, so their answers can be had, too. Where
one is the port's to the last bit, that is more than a hint.

Examples
--------
>>> from minibitnet.golden.zoo import find_bug
>>> x = np.float32([[127, 0.5]])
>>> try_bug(find_bug("half-away"), "quantize_activations", {"x": x}, {})["codes"]
array([[127,   1]], dtype=int8)
"""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.golden.catches import port_with
from minibitnet.golden.operations import answer, locate
from minibitnet.golden.vectorset import Entry, VectorSet
from minibitnet.golden.zoo import ZOO, Bug

Array = NDArray[Any]
WHOLE = ("forward", "generate")


def find_bugs(
    found: Array, vector: Entry, name: str, tested: VectorSet
) -> Iterator[str]:
    """Known bugs that give just this answer, and what to look for.

    Whole models take too long for it; there `minibitnet diagnose` finds them.
    """
    if vector["operation"] in WHOLE:
        return
    inputs = {key: tested.read_input(entry) for key, entry in vector["inputs"].items()}
    parameters = locate(vector["parameters"], tested.directory)
    for bug in ZOO:
        if bug.name in vector["catches"]:
            wrong = try_bug(bug, vector["operation"], inputs, parameters).get(name)
            if wrong is not None and np.array_equal(wrong, found, equal_nan=True):
                yield f"It is as {bug.name} has it: look for {bug.look_for}"


def try_bug(
    bug: Bug, operation: str, inputs: Mapping[str, Array], parameters: Entry
) -> Mapping[str, Array]:
    """What a port with a bug answers; nothing if it cannot."""
    try:
        with np.errstate(all="ignore"):
            return answer(operation, inputs, parameters, port_with(bug))
    except (ValueError, LookupError, TypeError):
        return {}
