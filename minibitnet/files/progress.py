"""What is going on: a line at once, a bar for what takes more than two seconds.

Bars are drawn by tqdm, on standard error, if that is a terminal. Where tqdm is not
installed there are none.

Examples
--------
>>> list(progress([1, 2, 3], "counting"))
[1, 2, 3]
>>> with progress_bar(10, "writing", unit="B") as advance:
...     advance(4)
...     advance(6, note="nearly there")
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

Item = TypeVar("Item")


def announce(what: str) -> None:
    """Say on standard error what begins now and will take a while."""
    print(what, file=sys.stderr, flush=True)


def progress(items: Iterable[Item], what: str) -> Iterator[Item]:
    """The same items, with a bar if they take more than two seconds."""
    try:
        from tqdm import tqdm
    except ImportError:
        return iter(items)
    return iter(tqdm(items, what, leave=False, delay=2, disable=None))


@contextmanager
def progress_bar(
    total: int, what: str, *, unit: str = "it", done: int = 0
) -> Iterator[Callable[..., None]]:
    """A bar for `total` units, and ``advance(n, note="")``, which moves it on."""
    try:
        from tqdm import tqdm
    except ImportError:
        yield lambda n, note="": None
        return
    with tqdm(
        total=total, desc=what, unit=unit, unit_scale=unit == "B", initial=done,
        leave=False, delay=2, disable=None,
    ) as bar:  # fmt: skip

        def advance(n: int, note: str = "") -> None:
            bar.set_postfix_str(note, refresh=False)
            bar.update(n)

        yield advance
