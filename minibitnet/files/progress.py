"""Progress bars, for what takes more than two seconds.

They are drawn by tqdm, on standard error. Where tqdm is not installed there are none.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")


def progress(items: Iterable[Item], what: str, quiet: bool = False) -> Iterator[Item]:
    """The same items, with a bar if they take more than two seconds."""
    try:
        from tqdm import tqdm
    except ImportError:
        return iter(items)
    return iter(tqdm(items, what, leave=False, delay=2, disable=quiet or None))
