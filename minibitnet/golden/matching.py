"""Where a model is another than a fingerprint says.

The model reads the ids of the fingerprint and makes one of its own. The two are
compared in the order of the computation, so that the first difference is the cause of
those behind it: the model's numbers, the ids of the text, the weights, then every stage
position by position, the logits, and the text that was written.

Notes
-----
Hashes, scales, ids and the model's numbers are equal or not. Lengths and largest
numbers may differ by two units of their sixth digit, and logits by 2e-5 of the largest,
since the contract leaves their last bits open. What one of the two lacks differs.
If the numbers that a forward pass computes with are others, nothing behind them is
compared.

Examples
--------
>>> compare("weights", {"q_proj": "aa", "k_proj": "bb"}, {"q_proj": "aa"}).line()
'weights: 1 of 2 differ, first k_proj: expected bb, found nothing'
>>> compare("stages", {"q, position 0: l2": (1.0,)}, {"q, position 0: l2": (1.001,)})
Part(name='stages', compared=1, differ=1, first='q, position 0: l2: expected 1.0, \
found 1.001')
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from minibitnet.golden.fingerprints import Entry, as_json, fingerprint, in_float32
from minibitnet.model import Model
from minibitnet.tokenizer import Tokenizer

CLOSE = 2e-5  # of a number: two units of its sixth digit
NOT_COMPUTED_WITH = ("eos_token_ids", "max_position_embeddings")


class Part(NamedTuple):
    """A part of a fingerprint, and whether a model's own is the same."""

    name: str
    compared: int
    differ: int
    first: str  # difference, in words; "" if there is none

    @property
    def detail(self) -> str:
        """Whether it is the same, and where not."""
        if not self.differ:
            return f"equal ({self.compared})"
        return f"{self.differ} of {self.compared} differ, first {self.first}"

    def line(self) -> str:
        """For people to read."""
        return f"{self.name}: {self.detail}"


def match(expected: Entry, model: Model, tokenizer: Tokenizer | None) -> list[Part]:
    """Each part of a fingerprint, compared with what the model computes.

    Raises ValueError if the model cannot read the ids.
    """
    numbers, right = as_json(model.config), in_float32(expected["config"])
    parts = [compare("config", right, numbers)]
    computed_with = numbers.keys() - {*NOT_COMPUTED_WITH}
    if any(numbers[key] != right[key] for key in computed_with):
        return parts
    ids, text = expected["ids"], expected["text"]
    if tokenizer is not None and text is not None:
        found = {"ids": tokenizer.encode(text)}
        parts.append(compare("tokenizer", {"ids": ids}, found))
    found = fingerprint(model, ids, text)
    for name, labelled in LABELLED.items():
        a, b = dict(labelled(expected[name])), dict(labelled(found[name]))
        parts.append(compare(name, a, b))
    return parts


def compare(name: str, expected: Mapping[str, Any], found: Mapping[str, Any]) -> Part:
    """How many of the labelled values differ, and which is the first."""
    labels = [*dict.fromkeys([*expected, *found])]
    differ = [
        label for label in labels if not same(expected.get(label), found.get(label))
    ]
    first = ""
    if differ:
        what = (show(values.get(differ[0])) for values in (expected, found))
        first = "{}: expected {}, found {}".format(differ[0], *what)
    return Part(name, len(labels), len(differ), first)


def same(a: Any, b: Any) -> bool:
    """Whether two values are; numbers in a tuple may be a little apart."""
    if not (isinstance(a, tuple) and isinstance(b, tuple)):
        return bool(a == b)
    near = CLOSE * max(map(abs, a))
    return len(a) == len(b) and all(
        abs(x - y) <= near for x, y in zip(a, b, strict=True)
    )


def show(value: Any) -> str:
    """A value in words."""
    if value is None:
        return "nothing"
    return str(value[0] if isinstance(value, tuple) and len(value) == 1 else value)


def label_weights(weights: Entry) -> Iterator[tuple[str, Any]]:
    """What is said of each array."""
    for name, entry in weights.items():
        for key, value in entry.items():
            yield f"{name}: {key}", value


def label_stages(stages: Entry) -> Iterator[tuple[str, Any]]:
    """What is said of each position of each stage."""
    for name, entry in stages.items():
        for t, values in enumerate(zip(*entry.values(), strict=True)):
            for key, value in zip(entry, values, strict=True):
                one = value if key == "rows" else (value,)
                yield f"{name}, position {t}: {key}", one


def label_logits(logits: list[Entry]) -> Iterator[tuple[str, Any]]:
    """The tokens of each position, and their logits."""
    for t, entry in enumerate(logits):
        yield f"position {t}: tokens", entry["ids"]
        yield f"position {t}: logits", (*entry["values"], entry["margin"])


def label_tokens(tokens: list[int]) -> Iterator[tuple[str, Any]]:
    """The tokens of a text, each with its number."""
    for n, token in enumerate(tokens):
        yield f"token {n}", token


LABELLED: dict[str, Callable[[Any], Iterator[tuple[str, Any]]]] = {
    "weights": label_weights,
    "stages": label_stages,
    "logits": label_logits,
    "greedy": label_tokens,
}
