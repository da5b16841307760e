"""Exercises: an answer is not there yet, right, or a mistake with a name.

A check compares the answer with the right one and then with the mistakes that people
make. If it equals one of those, it says which: somebody who rounds half up learns that
they round half up, not that the third number is 2. For any other, it says how the
numbers differ. An answer may be a number, an array, or a function, which is tried on
cases.

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

import inspect
import traceback
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from html import escape
from typing import Any

import numpy as np

from minibitnet.course.difference import (
    NUMBERS,
    SHORT,
    Array,
    as_array,
    difference,
    of_value,
    same,
    shown,
)
from minibitnet.course.drawing import as_html

# From a case, an answer to it and the right one to a figure
Draw = Callable[[tuple[Any, ...], Array, Array], Any]
LINE = 160  # characters of a line, at most
DRAWN = 64  # numbers of a picture, at most


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


@dataclass(frozen=True, repr=False)
class Exercise:
    """A check: call it with an answer.

    Parameters
    ----------
    right : number, array or function
        The right answer.
    mistakes : dict
        From what to say to the answer that it is said of, or a tuple of such answers.
    cases : list of tuple
        The arguments on which functions are tried; none where answers are values.
    draw : callable, optional
        One of `minibitnet.course.drawing`, for answers of the right shape.
    dtype : bool
        Whether the results must have the right dtype, too.
    """

    right: Any
    mistakes: Mapping[str, Any] = field(default_factory=dict)
    cases: Sequence[tuple[Any, ...]] = ()
    draw: Draw | None = None
    dtype: bool = False

    def __repr__(self) -> str:
        return "A check: call it with your answer."

    def __dir__(self) -> list[str]:
        return []  # the Tab key shows no answer, either

    def __call__(self, answer: Any) -> Verdict:
        """What is to be said of an answer."""
        if answer is ...:
            return NOT_YET
        if not self.cases:
            return self.judge_value(answer)
        if callable(answer):
            return self.judge_function(answer)
        kind = type(answer).__name__
        return wrong(f"Expected a function (its name, not a call of it), got {kind}.")

    def judge_function(self, answer: Callable[..., Any]) -> Verdict:
        """What is to be said of a function."""
        found: list[Array] = []
        written: set[str] = set()
        for case in self.cases:
            given = tuple(map(untouched, case))
            try:
                value = run(answer, given)
            except Exception as error:
                earlier = self.judge(found, written)  # what is wrong first, is said
                stop = wrong(f"{stopped(error)}\n{self.told(case)}")
                return stop if earlier.right else earlier
            if value is ...:
                return NOT_YET
            if (array := as_array(value)).dtype.kind not in NUMBERS:
                return wrong(no_numbers(value))
            found.append(array)
            written |= self.changed(case, given)
        return self.judge(found, written)

    def judge_value(self, answer: Any) -> Verdict:
        """What is to be said of an answer that is no function."""
        found, right = as_array(answer), as_array(self.right)
        if found.dtype.kind not in NUMBERS:
            return wrong(no_numbers(answer))
        if same(found, right):
            return RIGHT
        return wrong(self.named([found], [right]) or of_value(found, right))

    def judge(self, found: list[Array], written: set[str]) -> Verdict:
        """What is to be said of the results of a function in the first cases."""
        expected = self.values(self.right)[: len(found)]
        pairs = list(zip(found, expected, strict=True))
        differ = [n for n, pair in enumerate(pairs) if not same(*pair)]
        if self.dtype:
            differ += [n for n, (a, b) in enumerate(pairs) if a.dtype != b.dtype]
        note = f"It writes into {', '.join(sorted(written))}, which is not its own."
        if not differ:
            return Verdict(True, f"Right. But: {note}") if written else RIGHT
        n = differ[0]
        text = self.named(found, expected)
        if text is None:
            kind, *numbers = difference(*pairs[n]).split("\n")
            text = "\n".join([kind, self.told(self.cases[n]), *numbers])
        return wrong(f"{text}\n{note}" if written else text, self.picture(n, *pairs[n]))

    def named(self, found: list[Array], expected: list[Array]) -> str | None:
        """What to say, if the answer is one known mistake and no other."""
        hints = []
        for hint, variants in self.mistakes.items():
            several = variants if isinstance(variants, tuple) else (variants,)
            if any(fits(found, self.values(m), expected) for m in several):
                hints.append(hint)
        return hints[0] if len(hints) == 1 else None

    def picture(self, n: int, found: Array, right: Array) -> Callable[[], Any] | None:
        """What draws the case in which an answer first differs."""
        if self.draw is None or found.shape != right.shape or right.size > DRAWN:
            return None
        return partial(self.draw, self.cases[n], found, right)

    def values(self, answer: Any) -> list[Array]:
        """What an answer comes to: itself, or its results."""
        if not self.cases:
            return [as_array(answer)]
        return [as_array(run(answer, map(untouched, case))) for case in self.cases]

    def names(self) -> list[str]:
        """What the arguments are called."""
        return list(inspect.signature(self.right).parameters)

    def changed(self, case: tuple[Any, ...], given: tuple[Any, ...]) -> set[str]:
        """The arguments that a function has written into."""
        return {
            name
            for name, before, after in zip(self.names(), case, given, strict=False)
            if isinstance(before, np.ndarray) and before.tobytes() != after.tobytes()
        }

    def told(self, case: tuple[Any, ...]) -> str:
        """What a function was given, in one line."""
        pairs = zip(self.names(), case, strict=False)
        return cut("For " + ", ".join(argument(*pair) for pair in pairs) + ".")


def argument(name: str, value: Any) -> str:
    """An argument: whole if it is short, by its shape if it is not."""
    if np.size(value) > SHORT:
        return f"{name} of shape {np.shape(value)}"
    return (
        f"{name} = {value!r}" if isinstance(value, str) else f"{name} = {shown(value)}"
    )


def run(function: Callable[..., Any], given: Iterable[Any]) -> Any:
    """A function's result. What overflows is seen in it; warnings say nothing more."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        return function(*given)


def fits(found: list[Array], mistake: list[Array], right: list[Array]) -> bool:
    """Whether an answer is a mistake: in every case, or in all that stay finite."""
    triples = list(zip(found, mistake, right, strict=False))
    if all(same(a, b) for a, b, _ in triples):
        return True
    finite = [triple for triple in triples if np.isfinite(triple[0]).all()]
    differs = any(not same(a, c) for a, _, c in finite)
    return differs and all(same(a, b) for a, b, _ in finite)


def stopped(error: Exception) -> str:
    """The error, and the line of the answer that it came from."""
    said = one_line(f"It stops with {type(error).__name__}: {error}")
    trace = traceback.extract_tb(error.__traceback__)
    frames = [frame for frame in trace if frame.filename != __file__]
    own = [frame for frame in frames if frame.filename == frames[0].filename]
    if not own:  # it could not even be called
        return said
    where = one_line(f"in your line {own[-1].lineno}: {own[-1].line}")
    return f"{said}\n{where}"


def no_numbers(value: Any) -> str:
    """What is said of an answer that is no array of numbers."""
    if value is None:
        return "It is None: is there a return?"
    kind, dtype = type(value).__name__, as_array(value).dtype
    return f"Expected numbers, as one array, got {kind} of {dtype}."


def one_line(text: str) -> str:
    """Text for one line: no breaks, no control characters, not too long."""
    text = " ".join(text.split())
    return cut("".join(c if c.isprintable() else ascii(c)[1:-1] for c in text))


def cut(line: str) -> str:
    """A line that is not too long."""
    return line if len(line) <= LINE else f"{line[:LINE]}..."


def untouched(argument: Any) -> Any:
    """A copy of an argument that is an array: a function may write into it."""
    return argument.copy() if isinstance(argument, np.ndarray) else argument


def wrong(text: str, draw: Callable[[], Any] | None = None) -> Verdict:
    """A verdict on an answer that is not right, and what draws it."""
    return Verdict(False, f"Not right. {text}", draw)
