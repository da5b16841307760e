r"""A bug: one line of the page that is wrong, and a port in which it is.

Everybody who ports a model makes mistakes, and mostly the same ones. Here a mistake is
a text: what the page (`minibitnet.one_page`) says in a line or two, and what a port
with that mistake says there. Applied to the source in a module of its own, it is that
port, and shows in every array what the mistake does. The page stays as it is.

Notes
-----
A bug of the tokenizer changes `minibitnet.bpe` in the same way. A text that does not
stand there exactly once is refused, so that the zoo cannot fall behind the page. Two
bugs in one port are two changes, one after the other. Another arithmetic is made of the
page in the same way, and is no bug (`minibitnet.golden.precision`).

The page reads one layout alone. A port that reads another one wrongly, say a GGUF file,
has weights in a wrong order, and that order is what the page is made to have. Where the
layout's own module (`minibitnet.formats`) shows the mistake in a line, the bug says
that, too; a test holds the two to be the same mistake.

Examples
--------
>>> from minibitnet.golden.zoo import find_bug
>>> silu = find_bug("silu")
>>> print(silu.right, silu.wrong, sep="\n")
relu2 if config["hidden_act"] == "relu2" else silu
silu
>>> port = mutate(silu)
>>> port.relu2 is not one_page.relu2  # a module of its own
True
>>> from dataclasses import replace
>>> mutate(replace(silu, right="gelu"))
Traceback (most recent call last):
    ...
ValueError: silu: expected its text once in one_page.py, found it 0 times: 'gelu'
"""

import inspect
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from minibitnet import bpe, one_page
from minibitnet.formats import i2_s, tq2_0

MODULES = (one_page, bpe, i2_s, tq2_0)
SOURCES = {module.__name__: module for module in MODULES}


class Change(NamedTuple):
    """What the page says, and what another program says there, right or wrong."""

    name: str
    right: str  # what the page says
    wrong: str  # what the other says
    module: str = one_page.__name__


@dataclass(frozen=True)
class Bug:
    """A mistake that somebody made, and what it looks like."""

    name: str
    where: str  # who met it: on GitHub, as owner/repository#number
    right: str  # what the page says, three lines at most
    wrong: str  # what the port says there
    symptom: str  # what a user sees
    first_stage: str  # the first to differ, in a layer without its "layers.L."; or
    # "ids" if it is the tokenizer's, "generate" if only the length of a text differs
    look_for: str  # what to look for in the port
    module: str = one_page.__name__  # where the text stands
    layouts: tuple[Change, ...] = ()  # the same mistake in the modules of layouts

    def in_layouts(self) -> dict[str, Change]:
        """The same mistake in each layout's module, by the module's name."""
        return {change.module: change for change in self.layouts}


def mutate(*changes: Bug | Change) -> ModuleType:
    """A port: the module of the changes, as a module of its own that has them.

    Parameters
    ----------
    *changes : Bug or Change
        All of one module. With none at all it is the page.

    Raises
    ------
    ValueError
        If what is to be changed does not stand there exactly once.
    """
    [module] = {change.module for change in changes} or {one_page.__name__}
    source = inspect.getsource(SOURCES[module])
    for change in changes:
        check_once(change, source)
        source = source.replace(change.right, change.wrong)
    names = dict.fromkeys(change.name for change in changes)
    port = ModuleType(" and ".join(names) or "page")
    exec(compile(source, f"<{port.__name__}>", "exec"), vars(port))
    return port


def check_once(change: Bug | Change, source: str) -> None:
    """Refuse a change of a text that does not stand in a source exactly once."""
    if (n := source.count(change.right)) != 1:
        file = file_of(change).name
        raise ValueError(
            f"{change.name}: expected its text once in {file}, found it {n} times: "
            f"{change.right!r}"
        )


def file_of(change: Bug | Change) -> Path:
    """The file in which a text to be changed stands."""
    return Path(inspect.getfile(SOURCES[change.module]))


def diff(bug: Bug | Change) -> tuple[int, list[str], list[str]]:
    """The number of the first line that a bug changes; the lines, right and wrong."""
    source = inspect.getsource(SOURCES[bug.module])
    check_once(bug, source)
    before, after = source.split(bug.right)
    start, end = before.rpartition("\n")[2], after.partition("\n")[0]
    right, wrong = (
        f"{start}{text}{end}".split("\n") for text in (bug.right, bug.wrong)
    )
    return before.count("\n") + 1, right, wrong
