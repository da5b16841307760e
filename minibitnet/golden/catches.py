"""Which vectors notice which bugs: found by trying, not by thinking.

Every bug of the zoo is a page with a mistake in it. Each such page computes the
vectors; where its outputs are other than the right ones, or it fails, the vector
catches the bug.

Notes
-----
Left out are the vectors that take long, those of the built-in model, of the matrices of
2B4T and of two hundred tokens: smaller ones say the same.
"""

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet import one_page
from minibitnet.files.progress import progress
from minibitnet.golden.cases import Case
from minibitnet.golden.operations import LAYOUTS, OPERATIONS, Reference, locate
from minibitnet.golden.zoo import ZOO, Bug, mutate

LONG = ("stories", "2b4t", "_200")
Outputs = Mapping[str, NDArray[Any]]


def find_catches(
    cases: list[Case], outputs: Mapping[str, Outputs], directory: Path
) -> dict[str, list[str]]:
    """The names of the bugs that each case catches."""
    catches: dict[str, list[str]] = {case.id: [] for case in cases}
    tried = [case for case in cases if not any(word in case.id for word in LONG)]
    for bug in progress(ZOO, "trying bugs"):
        port = port_with(bug)
        for case in tried:
            if differs(case, outputs[case.id], port, directory):
                catches[case.id].append(bug.name)
    return catches


def port_with(bug: Bug) -> Reference:
    """A port that has a bug, in whatever reads weights, too."""
    if bug.module != one_page.__name__:
        return Reference(bpe=mutate(bug))
    source = inspect.getsource(one_page).replace(bug.right, bug.wrong)
    wrong = bug.in_layouts()
    layouts = {
        name: mutate(wrong[module.__name__]) if module.__name__ in wrong else module
        for name, module in LAYOUTS.items()
    }
    return Reference(page=mutate(bug), source=source, layouts=layouts)


def differs(case: Case, right: Outputs, port: Reference, directory: Path) -> bool:
    """Whether a port answers a case otherwise, or cannot."""
    parameters = locate(case.parameters, directory)
    try:
        with np.errstate(all="ignore"):
            found = OPERATIONS[case.operation](port, case.arrays, parameters)
    except (ValueError, LookupError, TypeError):
        return True
    return any(
        name not in found or not np.array_equal(array, found[name], equal_nan=True)
        for name, array in right.items()
    )
