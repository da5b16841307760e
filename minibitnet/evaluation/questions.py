r"""Questions: what lm-evaluation-harness asks, in tokens, and its options understood.

A task says what is to be written in options of many names. Those that are known here
are taken; any other is refused by name, since a number that was measured under other
options than were asked for looks like any number.

Notes
-----
As in the harness: without `do_sample` a text is drawn if there is a temperature above
0, and otherwise is greedy; `do_sample` false makes it greedy whatever the temperature.
The most tokens to write have four names, of which the first that is given counts. An
empty stop string ends nothing.

References
----------
lm_eval/models/utils.py, ``normalize_gen_kwargs`` (0.4.13).

Examples
--------
>>> options = {"until": "\n", "do_sample": False, "temperature": 0.7, "max_tokens": 9}
>>> wish = parse_wish([1, 2], options, seed=0)
>>> wish.limit, wish.stop, wish.sampling
(9, ['\n'], {'temperature': 0.0})
>>> parse_wish([1, 2], {"num_beams": 4}, seed=0)
Traceback (most recent call last):
    ...
ValueError: generation option num_beams is not known, only until, do_sample,
max_gen_toks, max_new_tokens, max_tokens, max_completion_tokens, temperature, top_k,
top_p, min_p, repetition_penalty
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

NEW_TOKENS = 256  # written at most, where a task does not say
# What a task may call that number; the first that it gives counts
LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
SAMPLING = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
KNOWN = ("until", "do_sample", *LIMITS, *SAMPLING)


class Pair(NamedTuple):
    """A context and what follows it."""

    context: list[int]
    continuation: list[int]


class Scored(NamedTuple):
    """How likely a continuation is."""

    logprob: float
    greedy: bool  # whether the most likely token is its own, each time


class Wish(NamedTuple):
    """What is to be written."""

    ids: list[int]  # of the context
    limit: int  # of new tokens
    stop: list[str]
    sampling: dict[str, Any]
    seed: int


def tokens_of(question: Any) -> list[int]:
    """The tokens by which questions are ordered."""
    match question:
        case Pair(context, continuation):
            return context + continuation
        case Wish():
            return question.ids
    return list(question)


def parse_wish(ids: list[int], options: Mapping[str, Any], seed: int) -> Wish:
    """What a task asks for; a ValueError that names what is not known here."""
    for name in options:
        if name not in KNOWN:
            raise ValueError(
                f"generation option {name} is not known, only {', '.join(KNOWN)}"
            )
    given = {name: value for name, value in options.items() if value is not None}
    limit = next((given[name] for name in LIMITS if name in given), NEW_TOKENS)
    until = given.get("until", [])
    sampling = {name: given[name] for name in SAMPLING if name in given}
    if not given.get("do_sample", sampling.get("temperature", 0) > 0):
        sampling["temperature"] = 0.0
    elif sampling.get("temperature", 0) == 0:
        raise ValueError("do_sample needs a temperature above 0")
    stop = [until] if isinstance(until, str) else until
    return Wish(ids, int(limit), [end for end in stop if end], sampling, seed)
