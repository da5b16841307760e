"""Stages: every array of a forward pass by name.

The forward pass gives each array it makes its name, in passing: ``stage("q", ...)``
returns the array unchanged. Usually nobody listens and that is all. Inside
``with trace() as stages:`` the array is also kept under its name, so one run of the
model becomes a dictionary in which to look things up, compare and draw.

Notes
-----
A stage has one name wherever it appears: here, in test vectors, notebooks and the cheat
sheet. In a block the name is prefixed by ``layers.L.``. Stages that end in ``.codes``
and ``.acc`` are integers and exact; the others are float32. Tracing copies nothing:
what is kept is the very array that was computed with, so do not write into it. The
table of all names is `minibitnet.golden.names`.

Examples
--------
>>> import numpy as np
>>> with trace() as stages:
...     with within("layers.7."):
...         double = stage("q", 2 * np.ones(2))
>>> stages
{'layers.7.q': array([2., 2.])}
>>> stage("q", np.zeros(2))  # nobody listens now
array([0., 0.])
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

from numpy.typing import NDArray

Listener = Callable[[str, NDArray[Any]], object]
Named = TypeVar("Named")

# Who listens, the innermost last. All are kept, since generators end in any order.
_listeners: ContextVar[tuple[Listener | None, ...]] = ContextVar(
    "listeners", default=(None,)
)


def stage(name: str, array: Named) -> Named:
    """Give an array its stage name and return it; a listener is told.

    In place of an array that is only made to be seen stands a function that makes it;
    it is called only if somebody listens.
    """
    listener = _listeners.get()[-1]
    if listener is not None:
        listener(name, array() if callable(array) else array)  # type: ignore[arg-type]
    return array


@contextmanager
def listen(listener: Listener) -> Iterator[None]:
    """Call ``listener(name, array)`` at every stage inside the ``with``."""
    _listeners.set((*_listeners.get(), listener))
    try:
        yield
    finally:
        _listeners.set(tuple(each for each in _listeners.get() if each is not listener))


@contextmanager
def within(prefix: str) -> Iterator[None]:
    """Put a prefix, as ``"layers.7."``, before the stage names inside the ``with``."""
    outer = _listeners.get()[-1]
    if outer is None:
        yield
        return
    with listen(lambda name, array: outer(prefix + name, array)):
        yield


@contextmanager
def trace() -> Iterator[dict[str, NDArray[Any]]]:
    """Keep every stage of the forward passes inside the ``with``.

    A later forward pass overwrites the stages of an earlier one. Of traces one inside
    the other, the inner one listens. A generator that yields inside the ``with`` leaves
    the trace listening to whoever runs meanwhile; tokens of `minibitnet.generate` are
    heard if they are asked for inside, wherever the generator was made.

    Yields
    ------
    stages : dict
        From name to array, in the order of computation.
    """
    stages: dict[str, NDArray[Any]] = {}
    with listen(stages.__setitem__):
        yield stages
