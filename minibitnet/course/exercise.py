"""Exercises: an answer is not there yet, right, or a mistake with a name.

A check compares the answer with the right one and then with the mistakes that people
make. If it equals one of those, it says which: somebody who rounds half up learns that
they round half up, not that the third number is 2. An answer may be a number, an array,
or a function, which is tried on cases.

Examples
--------
>>> check_mean = Exercise(
...     right=2.5, mistakes={"That is the largest. Add up, then divide.": 4.0}
... )
>>> check_mean(...)
Not yet: put your answer in place of the three dots.
>>> check_mean(4)
Not right. That is the largest. Add up, then divide.
>>> check_mean(2.5)
Right.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from html import escape
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.course.drawing import as_html

NUMBERS = "biuf"  # kinds of dtypes
# From a case, an answer to it and the right one to a figure
Draw = Callable[[tuple[Any, ...], NDArray[Any], NDArray[Any]], Any]


@dataclass(frozen=True)
class Verdict:
    """What a check says of an answer."""

    right: bool | None  # None: there is no answer yet
    text: str
    draw: Callable[[], Any] | None = None  # makes a figure that shows it

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str | None:
        """What Jupyter shows; None: the text alone."""
        if self.draw is None:
            return None
        try:
            return f"<pre>{escape(self.text)}</pre>{as_html(self.draw())}"
        except ImportError:
            return None


NOT_YET = Verdict(None, "Not yet: put your answer in place of the three dots.")
RIGHT = Verdict(True, "Right.")


@dataclass(frozen=True)
class Exercise:
    """A check: call it with an answer.

    Parameters
    ----------
    right : number, array or function
        The right answer.
    mistakes : dict
        From what to say to the answer that it is said of.
    cases : list of tuple
        The arguments on which functions are tried; none where answers are values.
    draw : callable, optional
        One of `minibitnet.course.drawing`, for answers of the right shape.
    """

    right: Any
    mistakes: Mapping[str, Any] = field(default_factory=dict)
    cases: Sequence[tuple[Any, ...]] = ()
    draw: Draw | None = None

    def __call__(self, answer: Any) -> Verdict:
        """What is to be said of an answer."""
        if answer is ...:
            return NOT_YET
        try:
            found = self.values(answer)
        except Exception as error:
            return wrong(f"It stops with {type(error).__name__}: {error}")
        if any(value is ... for value in found):
            return NOT_YET
        return self.judge(found)

    def judge(self, found: list[Any]) -> Verdict:
        """What is to be said of the values of an answer."""
        expected = self.values(self.right)
        if same(found, expected):
            return RIGHT
        pairs = enumerate(zip(found, expected, strict=True))
        n, value, right = next((n, a, b) for n, (a, b) in pairs if not same([a], [b]))
        known = (h for h, m in self.mistakes.items() if same(found, self.values(m)))
        hint = next(known, None) or self.difference(n, value, right)
        return wrong(hint, self.picture(n, value, right))

    def picture(self, n: int, value: Any, right: Any) -> Callable[[], Any] | None:
        """What draws the case in which an answer first differs."""
        array = as_array(value)
        alike = array.shape == np.shape(right) and array.dtype.kind in NUMBERS
        if self.draw is None or not alike:
            return None
        return partial(self.draw, self.cases[n], array, right)

    def values(self, answer: Any) -> list[Any]:
        """What an answer comes to: itself, or its results."""
        if not self.cases:
            return [answer]
        return [answer(*map(untouched, case)) for case in self.cases]

    def difference(self, n: int, value: Any, right: Any) -> str:
        """How an answer differs in the case in which it first does."""
        dtype = as_array(value).dtype
        if dtype.kind not in NUMBERS:
            kind = f"{type(value).__name__} of {dtype}"
            return f"Expected numbers, as one array, got {kind}."
        if not self.cases:
            return "It is another value."
        if np.shape(value) != np.shape(right):
            return f"Expected shape {np.shape(right)}, got {np.shape(value)}."
        given = ", ".join(str(argument) for argument in self.cases[n])
        return f"For {given}\nexpected {right}\ngot {value}"


def untouched(argument: Any) -> Any:
    """An argument that a function may write into.

    Parameters
    ----------
    argument : object
        Of a case.

    Returns
    -------
    argument : object
        A copy, if it is an array.
    """
    return argument.copy() if isinstance(argument, np.ndarray) else argument


def wrong(text: str, draw: Callable[[], Any] | None = None) -> Verdict:
    """A verdict on an answer that is not right.

    Parameters
    ----------
    text : str
        Why.
    draw : callable, optional
        Makes a figure that shows it.

    Returns
    -------
    verdict : Verdict
        With the text.
    """
    return Verdict(False, f"Not right. {text}", draw)


def as_array(value: Any) -> NDArray[Any]:
    """What somebody answered, as an array.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    array : ndarray of any shape
        Of objects, if they have no shape together.
    """
    try:
        return np.asarray(value)
    except Exception:
        return np.array([None])


def same(found: Sequence[Any], expected: Sequence[Any]) -> bool:
    """Whether values are equal, but for the last bits of floats.

    Parameters
    ----------
    found, expected : list of array or number
        As many of each.

    Returns
    -------
    answer : bool
        False also where a shape is another, or something is no number.
    """
    pairs = [(as_array(a), as_array(b)) for a, b in zip(found, expected, strict=True)]
    if any(a.shape != b.shape or a.dtype.kind not in NUMBERS for a, b in pairs):
        return False
    return all(
        np.allclose(a, b, rtol=1e-5, atol=1e-7, equal_nan=True) for a, b in pairs
    )
