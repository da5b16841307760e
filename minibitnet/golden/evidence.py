"""What speaks for a suspect: the numbers of a port beside those of a page with bugs.

A suspect is the page with some bugs of the zoo in it, or with none. It is run on the
tokens that the port read, as far as the port's numbers go, and each stage compared.

Notes
-----
The page checks nothing. So the model is loaded and run by the package first, which
refuses what it does not understand, and the page must compute the same.

Examples
--------
>>> from minibitnet.golden.zoo import find_bug
>>> from minibitnet.stories import BUILT_IN
>>> stages = {"layers.0.attn": Seen(np.zeros((1, 256)))}
>>> evidence = Evidence(stages, BUILT_IN, [4093, 300])
>>> suspect = evidence.judge(find_bug("modulo-heads"))
>>> suspect.name, suspect.mean, suspect.first
('modulo-heads', 1.4142135623730951, 'layers.0.attn')
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet import one_page
from minibitnet.checkpoint import load
from minibitnet.golden.names import count_heads, split_name
from minibitnet.golden.patterns import name_mix_up, name_pattern
from minibitnet.golden.port import MATRICES, Stages, run_port
from minibitnet.golden.seen import FARTHEST, Seen
from minibitnet.golden.traces import LEFT_OUT
from minibitnet.golden.zoo import Bug, mutate
from minibitnet.model import forward
from minibitnet.stages import trace

JUMP = 0.02  # that rounding does not make at once


@dataclass(frozen=True, eq=False)
class Suspect:
    """The page, or the page with bugs in it, and how far the port is from it."""

    bugs: tuple[Bug, ...]
    distances: Mapping[str, float]  # by stage, in the order of computation
    begin: str | None  # the first stage that the bugs change; None if they change none

    @property
    def name(self) -> str:
        """The bugs by name."""
        return " and ".join(bug.name for bug in self.bugs) or "the page"

    @cached_property
    def mean(self) -> float:
        """How far the port is on average."""
        return float(np.mean([*self.distances.values()]))

    @property
    def first(self) -> str | None:
        """The first stage at which the port differs; None if it equals this."""
        return next((name for name, far in self.distances.items() if far), None)


class Evidence:
    """The numbers of a port, and what it read.

    Raises ValueError if they are not numbers of this model and these tokens.
    """

    def __init__(
        self, stages: Mapping[str, Seen], directory: Path, ids: Sequence[int]
    ) -> None:
        self.directory, self.ids = directory, ids
        self.right = run_page(directory, ids, stages)
        self.stages = {}
        for name, array in self.right.items():
            seen = stages[name].in_rows(name, width_of(name, stages[name], array))
            if len(seen.values) > len(array) + 1:  # one more for a second begin-of-text
                raise ValueError(
                    f"{name}: expected {len(array)} rows or fewer, "
                    f"found {len(seen.values)}"
                )
            self.stages[name] = seen
        self.page = self.compare((), self.right)

    def judge(self, *bugs: Bug, pieces: Sequence[int] = ()) -> Suspect | None:
        """How far the port is from the page with these bugs; None where it cannot run.

        The tokens are read in pieces of so many, or at once.
        """
        try:
            port = mutate(*bugs)
        except ValueError:  # two bugs of one line
            return None
        found = run_port(port, self.directory, self.ids, pieces, self.stages)
        return None if found is None else self.compare(bugs, found)

    def tell_first(self) -> str:
        """Where the page and the port part first, and how; "" if they do not."""
        if (name := self.page.first) is None:
            return ""
        seen, right = self.stages[name], in_rows(self.right[name])
        far = seen.differences(right)
        if far is None:
            rows = [f"{len(a)} rows of {a.shape[1]}" for a in (right, seen.values)]
            return f"{name}: expected {rows[0]}, found {rows[1]}"
        right = right[-len(far) :]
        row, column = map(int, np.argwhere(far)[0])
        text = f"{name}[{row}, {column}]: {seen.values[row, column]:.9g} where "
        text += f"{right[row, column]:.9g} is right; {np.count_nonzero(far)} of "
        text += f"{far.size} differ"
        port = seen.values.astype(right.dtype)
        exact = seen.known is None and not np.any(seen.error)
        shapes = {stage: array.shape for stage, array in self.right.items()}
        others = {other: in_rows(a)[-len(far) :] for other, a in self.right.items()}
        pattern = name_mix_up(name, port, others) or name_pattern(
            right, port, heads=count_heads(name, shapes)
        )
        return f"{text}; {pattern}" if exact and pattern else text

    def is_exact(self) -> bool:
        """Whether the port has exact numbers before the first difference, and a jump.

        Exact sums are those of a port of this contract, whatever differs then. Exact
        products may also be of one that rounds later, if only its keys and values.
        """
        names, first = [*self.page.distances], self.page.first
        if first is None:
            return False
        products = [
            name
            for name in names[: names.index(first)]
            if split_name(name)[1].removesuffix(".acc") in MATRICES
            and not np.any(self.stages[name].error)
        ]
        has_sums = any(name.endswith(".acc") for name in products)
        return has_sums or bool(products) and self.page.distances[first] > JUMP

    def compare(self, bugs: tuple[Bug, ...], found: Stages) -> Suspect:
        """How far the port is from stages that were computed with these bugs."""
        distances = {
            name: seen.distance(in_rows(found[name])) if name in found else FARTHEST
            for name, seen in self.stages.items()
        }
        changed = (
            name
            for name, right in self.right.items()
            if not are_last_rows(found.get(name, right[:0]), right)
            and (name in found or not name.endswith(LEFT_OUT))  # of pieces
        )
        return Suspect(bugs, distances, next(changed, None))

    def right_tokens(self) -> int:
        """How many tokens from the start have none but the page's numbers.

        0 if no token is seen to be right.
        """
        right = T = len(self.ids)
        unseen = T
        for name, seen in self.stages.items():
            if name.endswith(LEFT_OUT):  # its rows are heads
                continue
            far = seen.differences(in_rows(self.right[name]))
            if far is None:
                return 0
            unseen = min(unseen, T - len(far))
            right = min([right, *np.flatnonzero(far.any(axis=1)) + T - len(far)])
        return int(right) if right > unseen else 0


def are_last_rows(array: NDArray[Any], right: NDArray[Any]) -> bool:
    """Whether an array is the last rows of another, or all of them."""
    return np.array_equal(array, right[-len(array) :], equal_nan=True)


def width_of(name: str, seen: Seen, right: NDArray[Any]) -> int:
    """How many numbers a row has: those of the page's, or of one more token's scores.

    right (...)
    """
    longer = right.shape[-1] + 1  # by a second begin-of-text
    if name.endswith(LEFT_OUT) and seen.values.size == len(right) * longer**2:
        return int(longer**2)
    return int(right[0].size)


def in_rows(array: NDArray[Any]) -> NDArray[Any]:
    """The numbers of each row, whatever its axes.

    array (...) -> rows (T, N)
    """
    return array.reshape(len(array), -1)


def run_page(directory: Path, ids: Sequence[int], names: Collection[str]) -> Stages:
    """The stages of these names, by the page, which must be the package's."""
    model, _ = load(directory)
    with trace() as package:
        forward(model, ids)
    for name in names:
        if name not in package:
            layers = f"with layers 0 to {model.config.num_hidden_layers - 1}"
            raise ValueError(
                f"{name}: expected a stage of {directory}, {layers}, found none"
            )
    page = run_port(one_page, directory, ids, names=names) or {}
    for name in names:
        right = Seen(package[name]).in_rows(name, package[name][0].size)
        if name not in page or right.distance(in_rows(page[name])):
            raise ValueError(
                f"{directory}: expected a checkpoint that one_page.py reads, "
                f"found another {name}"
            )
    return page
