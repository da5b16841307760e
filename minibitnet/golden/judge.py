"""Whether a difference is a mistake, or only another arithmetic.

A port of this contract is equal to the last bit. A program with another arithmetic
(bfloat16, float32 sums) is near everywhere and equal nowhere; sooner or later one of
its activations falls on the other side of a rounding, the codes differ by one, and from
there on most numbers differ a little more. That is no mistake. So the stages that
differ are judged one by one, in the order of computation, up to the first that settles
it.

Notes
-----
::

    floats     near: at most 2 % of the token's largest number apart
               (two bfloat16 programs are up to 1.5 % apart after a long sum)
    codes      right, if they are the codes of the trace's own floats, or if the
               activation x * 127 / max lies in the middle between the two codes; at an
               exact tie of equal floats the even code alone is right
    sums       of equal codes are equal
    tokens     another one is covered if the two largest logits are nearer to each
               other than 2 % of the largest

What comes behind codes that rightly differ is not judged.

Examples
--------
64.4 and 64.6 are on two sides of a rounding; the floats are near.

>>> a = {"layers.0.attn_norm": np.float32([[127, 64.4]])}
>>> b = {"layers.0.attn_norm": np.float32([[127, 64.6]])}
>>> a["layers.0.attn_in.codes"] = np.int8([[127, 64]])
>>> b["layers.0.attn_in.codes"] = np.int8([[127, 65]])
>>> print(judge(a, b, [*a]))
Another arithmetic: layers.0.attn_in.codes: 1 of 2 codes, at most 0.1 of a code from \
the middle between two and 0.2 apart in the traces
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.arrays import F32, F64
from minibitnet.golden.names import split_name

Array = NDArray[Any]
Trace = Mapping[str, Array]
NEAR = 0.02  # of a token's largest number; see above
FURTHEST = NEAR * 127 + 1  # codes of near floats, both rounded
BESIDE_TIE = 1e-4  # of a code: other orders of dividing are not further apart
INPUTS = {  # of each stage of codes: whichever the model has
    "attn_in": ("attn_norm",),
    "attn_out": ("attn_sub_norm", "attn"),
    "ffn_in": ("ffn_norm",),
    "ffn_out": ("ffn_sub_norm", "relu2_gate"),
}
CODES = {  # that sums are of
    **dict.fromkeys(("q", "k", "v"), "attn_in"),
    "o": "attn_out",
    **dict.fromkeys(("gate", "up"), "ffn_in"),
    "down": "ffn_out",
}


@dataclass(frozen=True)
class Verdict:
    """What a difference is, where, and why."""

    kind: str  # "a mistake", "another arithmetic" or "undecided"
    reason: str
    stage: str = ""  # that settles it

    def __str__(self) -> str:
        """In a line."""
        joint = " in " if self.kind == "a mistake" else ": "
        where = f"{self.stage}: " if self.stage else ""
        return f"{self.kind.capitalize()}{joint}{where}{self.reason}"


@dataclass(frozen=True)
class Token:
    """A position at which another token is the most likely one."""

    position: int
    right: int
    port: int
    margin: float  # between the two largest logits of the right trace
    covered: bool

    def __str__(self) -> str:
        """In a line."""
        verdict = "another arithmetic" if self.covered else "too far for that"
        return (
            f"Token after position {self.position}: {self.port} where {self.right} "
            f"is right; the two largest logits are {self.margin:.4g} apart: {verdict}"
        )


def judge(a: Trace, b: Trace, differing: Sequence[str]) -> Verdict:
    """Go through the stages that differ until one settles it."""
    far = 0.0
    for name in differing:
        if a[name].shape != b[name].shape:
            return Verdict("a mistake", "another shape", name)
        if name.endswith(".codes"):
            return judge_codes(a, b, name)
        if name.endswith(".acc"):
            return judge_sums(a, b, name)
        distance = relative_distance(a[name], b[name])
        if not distance <= NEAR:  # NaN is far, too
            what = f"{distance:.1%} of a token's largest number apart"
            return Verdict("a mistake", what, name)
        far = max(far, distance)
    what = f"at most {far:.2g} of a token's largest number apart"
    return Verdict("another arithmetic", what)


def relative_distance(right: Array, port: Array) -> float:
    """The largest difference, as a part of the token's largest number."""
    x = right.astype(np.float64).reshape(len(right), -1)
    y = port.astype(np.float64).reshape(len(right), -1)
    largest = np.maximum(np.abs(x).max(axis=1), np.finfo(np.float32).tiny)
    return float((np.abs(x - y).max(axis=1) / largest).max(initial=0))


def judge_sums(a: Trace, b: Trace, name: str) -> Verdict:
    """Integer sums: equal, if the codes were."""
    layer, stage = split_name(name)
    codes = f"{layer}{CODES[stage.removesuffix('.acc')]}.codes"
    if codes in a and codes in b:  # and equal, or they would have settled it
        return Verdict("a mistake", "other sums of equal codes", name)
    return Verdict("undecided", f"{codes} is missing", name)


def judge_codes(a: Trace, b: Trace, name: str) -> Verdict:
    """Whether codes differ because their inputs do, or lie between two codes."""
    wrong = a[name] != b[name]
    right, port = a[name][wrong].astype(int), b[name][wrong].astype(int)
    apart = np.abs(right - port)
    if apart.max() > FURTHEST:
        return Verdict("a mistake", f"codes up to {apart.max()} apart", name)
    layer, stage = split_name(name)
    sources = [f"{layer}{source}" for source in INPUTS[stage.removesuffix(".codes")]]
    source = next((s for s in sources if s in a), sources[0])
    if source not in a or source not in b or a[source].shape != b[source].shape:
        return Verdict("undecided", f"{source} is missing in one of the two", name)
    mine, theirs = steps(a[source])[wrong], steps(b[source])[wrong]
    middle = (right + port) / 2
    own = np.rint(theirs) == port
    beside = (apart == 1) & (np.abs(theirs - middle) <= BESIDE_TIE)
    if not (own | beside).all():
        return Verdict("a mistake", f"not the codes of its {source}", name)
    if (~own & (theirs == middle) & (mine == theirs)).any():
        why = "an exact tie rounded otherwise than to the even code"
        return Verdict("a mistake", why, name)
    return Verdict(
        "another arithmetic",
        f"{wrong.sum()} of {wrong.size} codes, at most "
        f"{np.abs(mine - middle).max():.2g} of a code from the middle between two and "
        f"{np.abs(mine - theirs).max():.2g} apart in the traces",
        name,
    )


def steps(x: F32) -> F64:
    """The activations in codes, not yet rounded.

    x (T, N) -> steps (T, N)
    """
    x = x.astype(np.float32)
    largest = np.maximum(np.abs(x).max(axis=1, keepdims=True), np.float32(1e-5))
    return (x * (127 / largest)).astype(np.float64)


def changed_tokens(a: Trace, b: Trace) -> Iterator[Token]:
    """The positions at which the most likely token is another."""
    if "logits" not in a or "logits" not in b or a["logits"].shape != b["logits"].shape:
        return
    for t, (right, port) in enumerate(zip(a["logits"], b["logits"], strict=True)):
        if right.argmax() != port.argmax():
            second, first = np.sort(right)[-2:].astype(float)
            covered = bool(first - second <= NEAR * np.abs(right).max())
            tokens = int(right.argmax()), int(port.argmax())
            yield Token(t, *tokens, first - second, covered)
