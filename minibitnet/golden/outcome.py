"""What became of one array that a port was to answer.

It counts for a level, by its operation, its name and its dtype: integers before scales,
scales before floats.

Examples
--------
>>> level_of("forward", "layers.0.attn_in.scale", "float32")
'scales'
>>> level_of("product", "acc", "int32"), level_of("generate", "ids", "int32")
('integers', 'greedy text')
"""

from dataclasses import dataclass
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

    @property
    def file(self) -> str:
        """Where a port writes it."""
        return f"arrays/{self.vector.replace('/', '.')}.{self.output}.bin"

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
