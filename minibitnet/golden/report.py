"""A report of conformance: levels, counts, the first difference.

What `minibitnet.golden.conform` found, one `Outcome` for each array, in the order of
computation; as text for people, and as JSON.

Notes
-----
An operation of which a port answers at least one array was attempted, and then all its
arrays count. Of an operation that was not attempted nothing is said but that. So a core
that has only the product is right or wrong in the product, a port without a tokenizer
can reach any level, and nobody can leave out the one vector that is hard.

Examples
--------
A port that has nothing but the product:

>>> report = Report([Outcome("product/one", "acc", "product", "integers", "passed"),
...                  Outcome("rms_norm/one", "y", "rms_norm", "floats", "missing")])
>>> report.level, report.state("floats"), report.not_attempted, report.passed
('integers', 'not attempted', ['rms_norm'], False)
"""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from minibitnet.golden.outcome import LEVELS, Outcome

FEW = 2  # patterns of other vectors that are told


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
    def attempted(self) -> list[str]:
        """The operations of which there is an answer, right or wrong."""
        answered = (o.operation for o in self.outcomes if o.status != "missing")
        return [*dict.fromkeys(answered)]

    @property
    def not_attempted(self) -> list[str]:
        """The operations of which there is none."""
        asked = dict.fromkeys(outcome.operation for outcome in self.outcomes)
        return [operation for operation in asked if operation not in self.attempted]

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
        """The highest level that is right, with nothing wrong or missing before it."""
        reached = None
        for level in LEVELS:
            state = self.state(level)
            if state in ("wrong", "missing in part"):
                break
            reached = level if state == "right" else reached
        return reached

    def state(self, level: str) -> str:
        """What a level is, looked at alone, in the operations that were attempted."""
        operations = self.attempted
        attempted = [o for o in self.outcomes if o.operation in operations]
        if level == "shapes":
            answered = [o for o in attempted if o.status != "missing"]
            states = ["failed" if o.wrong_shape else "passed" for o in answered]
        else:
            states = [o.status for o in attempted if o.level == level]
        if not states:
            return "not attempted"
        if "failed" in states:
            return "wrong"
        return "missing in part" if "missing" in states else "right"

    def content(self) -> dict[str, Any]:
        """For a program to read."""
        operations = dict.fromkeys(outcome.operation for outcome in self.outcomes)
        states = ("passed", "failed", "missing")
        return {
            "port": self.port,
            "passed": self.passed,
            "level": self.level,
            "levels": {level: self.state(level) for level in LEVELS},
            "not_attempted": self.not_attempted,
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
        attempted, left_out = self.attempted, self.not_attempted
        name = f" of {self.port}" if self.port else ""
        part = ", in the operations that it attempted" if attempted and left_out else ""
        yield f"**Level{name}: {self.level or 'none'}**{part}"
        yield "\n" + " > ".join(f"{level} {self.state(level)}" for level in LEVELS)
        if attempted:
            yield from self.table(attempted)
        elif self.outcomes:
            yield f"\nNo array is there under its name, such as {self.outcomes[0].file}"
        if self.first:
            yield from self.differences(self.first)
        if left_out:
            yield f"\nNot attempted: {', '.join(left_out)}"
        for file in self.unknown:
            yield f"\nNo vector asks for this file: {ascii(file)}"

    def table(self, operations: Sequence[str]) -> Iterator[str]:
        """How many arrays of each operation are right."""
        states = ("passed", "failed", "missing")
        yield f"\n| operation | {' | '.join(states)} |"
        yield "|---|---|---|---|"
        sums = [0, 0, 0]
        for operation in operations:
            counts = [self.count(state, operation) for state in states]
            sums = [a + b for a, b in zip(sums, counts, strict=True)]
            yield f"| {operation} | {' | '.join(map(str, counts))} |"
        yield f"| all of them | {' | '.join(map(str, sums))} |"

    def differences(self, first: Outcome) -> Iterator[str]:
        """The first difference, and the first of each operation behind it."""
        firsts: dict[str, Outcome] = {}
        for failure in self.failures:
            firsts.setdefault(failure.operation, failure)
        for failure in firsts.values():
            head = f"- {failure.operation}"
            head = "\nThe first difference" if failure is first else head
            yield f"{head}: {failure.line()}{self.elsewhere(failure)}"
            yield from failure.bugs

    def elsewhere(self, first: Outcome) -> str:
        """What it looks like in other vectors of the operation, if otherwise."""
        patterns = dict.fromkeys(
            failure.pattern
            for failure in self.failures
            if failure.operation == first.operation and failure.output == first.output
        )
        others = [pattern for pattern in patterns if pattern not in ("", first.pattern)]
        return f" (elsewhere: {' | '.join(others[:FEW])})" if others else ""
