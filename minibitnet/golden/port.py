"""A port run on a model: what the page computes, or a page with a bug in it.

The rows of all tokens of a text stand under each stage in order, in whatever pieces it
was read. A run ends with the last stage that is asked for: of a large model one layer
is enough to see most bugs in.

Notes
-----
A page with a bug may divide by zero, overflow, or not run at all on a model whose
shapes the bug does not fit. The first two are part of what it computes. The last is an
answer, too: None.

Examples
--------
>>> from minibitnet.stories import BUILT_IN
>>> stages = run_port(one_page, BUILT_IN, [4093, 300, 301], names=["layers.0.q.acc"])
>>> [*stages], stages["layers.0.q.acc"].shape
(['layers.0.q.acc'], (3, 256))
>>> in_pieces = run_port(one_page, BUILT_IN, [4093, 300, 301], pieces=[2, 1])
>>> np.array_equal(in_pieces["layers.0.q.acc"], stages["layers.0.q.acc"])
True
"""

import inspect
from collections.abc import Collection, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet import one_page
from minibitnet.golden.names import split_name

Stages = dict[str, NDArray[Any]]
MATRICES = ("q", "k", "v", "o", "gate", "up", "down")
FILLS_CACHE = "layers.0.attn"  # the first stage behind which the cache has grown


class EnoughError(Exception):
    """All stages that were asked for are there."""


class Recorder(Stages):
    """A trace that ends the run when it has the stages asked for."""

    def __init__(self, names: Collection[str]) -> None:
        super().__init__()
        self.names = names  # none: all
        self.awaited = {*names, FILLS_CACHE}

    def __setitem__(self, name: str, array: NDArray[Any]) -> None:
        super().__setitem__(name, array)
        self.awaited.discard(name)
        if self.names and not self.awaited:
            raise EnoughError


def run_port(
    page: ModuleType,
    directory: Path,
    ids: Sequence[int],
    pieces: Sequence[int] = (),
    names: Collection[str] = (),
) -> Stages | None:
    """The stages of a text, or those of them that are named; None if it cannot run.

    Where it is read in pieces, `attn_weights` are left out: their shapes differ.
    """
    runs = []
    try:
        config, weights = page.load(directory)
        cache: list[Any] = []
        for part in np.split(ids, np.cumsum(pieces)[:-1]):
            stages = Recorder(names)
            with np.errstate(all="ignore"):
                try:
                    page.forward(config, weights, part, cache, stages)
                except EnoughError:
                    pass
            runs.append(stages)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return None
    return {
        name: np.concatenate([stages[name] for stages in runs])
        for name in runs[0]
        if (not names or name in names)
        and (len(runs) == 1 or not name.endswith("attn_weights"))
    }


def find_line(stage: str) -> tuple[int, str]:
    """Where the page makes a stage: the number of the line, and the line.

    Examples
    --------
    >>> [find_line(name)[1] for name in ("layers.0.attn", "layers.3.q.scale")]
    ['x = stage("attn", attn.reshape(T, H * d))', 'stage(name + ".scale", x_scale)']
    """
    _, within = split_name(stage)
    last = within.rpartition(".")[2]
    lines = inspect.getsource(one_page).splitlines()
    made = [f'stage("{within}",', f' + ".{last}",']
    made += ["stage(output, "] if within in MATRICES else []
    for number, line in enumerate(lines, 1):
        if any(words in line for words in made):
            return number, line.strip()
    raise ValueError(f"{stage}: expected a stage of the page")
