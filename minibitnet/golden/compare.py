"""Two traces side by side: where they part first, and whether that is a mistake.

The right trace and another one are gone through in the order of computation. Told are
the first stage that differs, the first number in it and the pattern of the difference;
then whether it is a mistake (`minibitnet.golden.judge`), and which of the most likely
tokens changed.

Examples
--------
>>> a = {"layers.0.attn_norm": np.float32([[1, 0.5]])}
>>> a["layers.0.attn_in.codes"] = np.int8([[127, 64]])
>>> b = a | {"layers.0.attn_in.codes": np.int8([[127, 63]])}
>>> print(compare_traces(a, b))
1 of 2 stages differ, first layers.0.attn_in.codes[0, 1]: 63 where 64 is right; \
1 of 2 differ; one too low in 1 of 2
A mistake in layers.0.attn_in.codes: an exact tie rounded otherwise than to the even \
code
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.golden.judge import Token, Trace, Verdict, changed_tokens, judge
from minibitnet.golden.names import IN_A_BLOCK, count_heads, split_name
from minibitnet.golden.orders import listed
from minibitnet.golden.patterns import name_mix_up, name_pattern
from minibitnet.golden.seen import LAST_BIT

Array = NDArray[Any]
ORDER = {stage.name: n for n, stage in enumerate(IN_A_BLOCK)}
ENDS = {"embed": -1, "final_norm": 10**9, "logits": 10**9 + 1}


@dataclass(frozen=True)
class Comparison:
    """What two traces have in common, and what not."""

    compared: list[str]  # stages in the order of computation
    differing: list[str]
    first: str  # where the first difference is, in words
    verdict: Verdict | None  # None where all is equal
    tokens: list[Token]  # that changed
    left_out: list[str]  # arrays of one of the two, or of no stage

    def __str__(self) -> str:
        """For people to read."""
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """The lines of it."""
        n = len(self.compared)
        if self.verdict:
            yield f"{len(self.differing)} of {n} stages differ, first {self.first}"
            yield str(self.verdict)
            if self.verdict.kind == "another arithmetic":
                yield "In a port of this contract, which is exact, it is a mistake too."
        else:
            yield f"All {n} stages are equal."
        yield from map(str, self.tokens)
        if self.left_out:
            yield f"Not compared: {', '.join(map(ascii, self.left_out))}"


def position(name: str) -> tuple[int, int] | None:
    """Where a stage stands in the order of computation; None if it is no stage."""
    if name in ENDS:
        return ENDS[name], 0
    layer, stage = split_name(name)
    return (
        (int(layer.split(".")[1]), ORDER[stage]) if layer and stage in ORDER else None
    )


def compare_traces(a: Trace, b: Trace) -> Comparison:
    """Compare a trace with the right one, the first.

    Raises ValueError if the two are of other token ids, or have no stage in common.
    """
    if "ids" in a and "ids" in b and not np.array_equal(a["ids"], b["ids"]):
        raise ValueError(
            f"ids must be the same in both traces, got {listed(a['ids'])} "
            f"and {listed(b['ids'])}"
        )
    both = [name for name in a.keys() & b.keys() if position(name) is not None]
    compared = sorted(both, key=lambda name: position(name) or ())
    if not compared:
        raise ValueError("the traces must have a stage in common, got none")
    differing = [name for name in compared if not is_right(name, a[name], b[name])]
    return Comparison(
        compared,
        differing,
        tell(differing[0], a, b) if differing else "",
        judge(a, b, differing) if differing else None,
        list(changed_tokens(a, b)),
        sorted((a.keys() | b.keys()) - {*compared, "ids"}),
    )


def is_right(name: str, right: Array, port: Array) -> bool:
    """Whether an array is the right one, but for last bits that the contract leaves.

    right (...), port (...)
    """
    if (right.dtype, right.shape) != (port.dtype, port.shape):
        return False
    if np.array_equal(right, port):
        return True
    return name.endswith(LAST_BIT) and bool(
        (np.abs(right - port) <= np.spacing(np.abs(right))).all()
    )


def tell(name: str, a: Trace, b: Trace) -> str:
    """Where two arrays part first, and the pattern of it."""
    right, port = a[name], b[name]
    shapes = {name: array.shape for name, array in a.items()}
    pattern = name_mix_up(name, port, a) or name_pattern(
        right, port, heads=count_heads(name, shapes)
    )
    if right.shape != port.shape or right.dtype != port.dtype:
        return f"{name}: {pattern}"
    wrong = right != port
    index = tuple(map(int, np.argwhere(wrong)[0]))
    text = f"{name}{[*index]}: {port[index]} where {right[index]} is right; "
    text += f"{wrong.sum()} of {wrong.size} differ"
    return f"{text}; {pattern}" if pattern else text
