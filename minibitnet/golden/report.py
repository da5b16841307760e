"""A report of conformance: levels, counts, the first difference.

What `minibitnet.golden.conform` found, one `Outcome` for each array, in the order of
computation; as text for people, and as JSON.
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

LEVELS = (
    *("tokens", "shapes", "integers", "scales", "floats", "logits"),
    "greedy text",
)
OF_OPERATION = {
    "encode": "tokens",
    "decode": "tokens",
    "chat": "tokens",
    "logits": "logits",
    "greedy": "logits",
    "probabilities": "logits",
    "pick": "logits",
    "generate": "greedy text",
}
LONGEST = 200  # characters of what a port said of itself


@dataclass(frozen=True)
class Outcome:
    """An array that a port was to answer, and how it did."""

    vector: str
    output: str
    operation: str
    level: str
    status: str  # "passed", "failed" or "missing"
    detail: str = ""
    index: tuple[int, ...] | None = None  # of the first number that is wrong
    differ: int | None = None  # how many are
    size: int = 0  # of how many
    pattern: str = ""
    bugs: tuple[str, ...] = ()  # known ones that give just this answer
    wrong_shape: bool = False

    @classmethod
    def of(
        cls,
        vector: dict[str, Any],
        name: str,
        entry: dict[str, Any],
        status: str,
        detail: str = "",
        **more: Any,
    ) -> "Outcome":
        """The outcome of an output of a vector."""
        operation = vector["operation"]
        size = 1
        for axis in entry["shape"]:
            size *= axis
        level = level_of(operation, name, entry["dtype"])
        text = ascii(detail)[1:-1] if not detail.isprintable() else detail
        where = vector["id"], name, operation, level, status
        return cls(*where, text[:LONGEST], size=size, **more)

    def line(self) -> str:
        """Where it is and what is wrong, in a line."""
        where = f"{self.vector}: {self.output}"
        if self.index is not None:
            where += f"[{', '.join(map(str, self.index))}]"
        text = f"{where}: {self.detail}"
        if self.differ is not None:
            text += f"; {self.differ} of {self.size} differ"
        return text + (f"; {self.pattern}" if self.pattern not in self.detail else "")


def level_of(operation: str, name: str, dtype: str) -> str:
    """The level that an output counts for."""
    last = name.rsplit(".", 1)[-1]
    if last in ("logits", "scale"):
        return {"logits": "logits", "scale": "scales"}[last]
    real = "floats" if dtype.startswith("float") else "integers"
    return OF_OPERATION.get(operation, real)


@dataclass(frozen=True)
class Report:
    """All outcomes, in the order of computation."""

    outcomes: Sequence[Outcome]
    unknown: Sequence[str] = ()  # files that no vector asks for
    port: str = ""  # what it says of itself

    @property
    def passed(self) -> bool:
        """Whether there was something, and all of it is right."""
        return bool(self.outcomes) and self.count("passed") == len(self.outcomes)

    def count(self, status: str, operation: str = "") -> int:
        """How many outcomes of a kind."""
        return sum(
            outcome.status == status and operation in ("", outcome.operation)
            for outcome in self.outcomes
        )

    @property
    def failures(self) -> list[Outcome]:
        """What is wrong."""
        return [outcome for outcome in self.outcomes if outcome.status == "failed"]

    @property
    def first(self) -> Outcome | None:
        """The first of them."""
        return next(iter(self.failures), None)

    @property
    def level(self) -> str | None:
        """The highest level reached; None if not even the first is."""
        reached = None
        for level in LEVELS:
            if self.state(level) != "right":
                break
            reached = level
        return reached

    def state(self, level: str) -> str:
        """What a level is, looked at alone: right, wrong, or missing in part."""
        if level == "shapes":
            states = ["passed" for o in self.outcomes if o.status != "missing"]
            states += ["failed" for o in self.outcomes if o.wrong_shape]
        else:
            states = [o.status for o in self.outcomes if o.level == level]
        if "failed" in states:
            return "wrong"
        return "missing" if "missing" in states or not states else "right"

    def content(self) -> dict[str, Any]:
        """For a program to read."""
        operations = dict.fromkeys(outcome.operation for outcome in self.outcomes)
        states = ("passed", "failed", "missing")
        return {
            "port": self.port,
            "passed": self.passed,
            "level": self.level,
            "levels": {level: self.state(level) for level in LEVELS},
            "arrays": {state: self.count(state) for state in states},
            "operations": {
                name: {state: self.count(state, name) for state in states}
                for name in operations
            },
            "first_difference": asdict(self.first) if self.first else None,
            "differences": [asdict(outcome) for outcome in self.failures],
            "unknown_files": [*self.unknown],
        }

    def __str__(self) -> str:
        """As Markdown."""
        return "\n".join(self.lines())

    def lines(self) -> Iterator[str]:
        """The lines of the Markdown."""
        content = self.content()
        arrays = content["arrays"]
        name = f" of {self.port}" if self.port else ""
        yield f"**Level{name}: {self.level or 'none'}**"
        yield ""
        yield " > ".join(
            f"{level} {state}" for level, state in content["levels"].items()
        )
        yield ""
        yield "| operation | passed | failed | missing |"
        yield "|---|---|---|---|"
        for operation, counts in content["operations"].items():
            yield f"| {operation} | {' | '.join(map(str, counts.values()))} |"
        yield f"| all | {' | '.join(map(str, arrays.values()))} |"
        yield from self.differences()
        for file in self.unknown:
            yield f"\nNo vector asks for this file: {ascii(file)}"

    def differences(self) -> Iterator[str]:
        """The first difference, and the first one of each other operation."""
        seen: set[str] = set()
        for failure in self.failures:
            if failure.operation not in seen:
                what = f"- {failure.operation}" if seen else "\nThe first difference"
                yield f"{what}: {failure.line()}"
                yield from failure.bugs
                seen.add(failure.operation)
