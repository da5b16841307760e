r"""A bug: one line of the page that is wrong, and a port in which it is.

Everybody who ports a model makes mistakes, and mostly the same ones. Here a mistake is
a text: what the page (`minibitnet.one_page`) says in a line or two, and what a port
with that mistake says there. Applied to the source in a module of its own, it is that
port, and shows in every array what the mistake does. The page stays as it is.

Notes
-----
A bug of the tokenizer changes `minibitnet.bpe` in the same way. A text that does not
stand there exactly once is refused, so that the zoo cannot fall behind the page. Two
bugs in one port are two changes, one after the other.

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

from minibitnet import bpe, one_page

SOURCES = {module.__name__: module for module in (one_page, bpe)}


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
    module: str = "minibitnet.one_page"  # where the text stands


def mutate(*bugs: Bug) -> ModuleType:
    """A port: the module of the bugs, as a module of its own that has them.

    Parameters
    ----------
    *bugs : Bug
        All of one module. With none at all it is the page.

    Raises
    ------
    ValueError
        If what a bug changes does not stand there exactly once.
    """
    [module] = {bug.module for bug in bugs} or {one_page.__name__}
    source = inspect.getsource(SOURCES[module])
    for bug in bugs:
        check_once(bug, source)
        source = source.replace(bug.right, bug.wrong)
    port = ModuleType(" and ".join(bug.name for bug in bugs) or "page")
    exec(compile(source, f"<{port.__name__}>", "exec"), vars(port))
    return port


def check_once(bug: Bug, source: str) -> None:
    """Refuse a bug whose text does not stand in a source exactly once."""
    if (n := source.count(bug.right)) != 1:
        file = file_of(bug).name
        raise ValueError(
            f"{bug.name}: expected its text once in {file}, found it {n} times: "
            f"{bug.right!r}"
        )


def file_of(bug: Bug) -> Path:
    """The file in which the text of a bug stands."""
    return Path(inspect.getfile(SOURCES[bug.module]))


def diff(bug: Bug) -> tuple[int, list[str], list[str]]:
    """The number of the first line that a bug changes; the lines, right and wrong."""
    source = inspect.getsource(SOURCES[bug.module])
    check_once(bug, source)
    before, after = source.split(bug.right)
    start, end = before.rpartition("\n")[2], after.partition("\n")[0]
    right, wrong = (
        f"{start}{text}{end}".split("\n") for text in (bug.right, bug.wrong)
    )
    return before.count("\n") + 1, right, wrong
