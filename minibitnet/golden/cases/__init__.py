"""The cases: which inputs tell a right port from a wrong one.

A case is an operation with inputs, and one sentence why these. They are chosen: numbers
on which two readings of a formula part, sizes on which a loop ends too early, sums that
a narrower type cannot hold.

In this order
    `codes`     quantizing, packing, the product
    `floats`    norms, RoPE, attention, the gate, logits
    `text`      ids, texts, sampling
    `refused`   what is wrong and must be refused
    `models`    whole models: every stage, greedy text
    `layouts`   the same codes as GGUF files have them
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.golden.draws import draw


@dataclass(frozen=True)
class Drawn:
    """A large input, named by what draws it (`minibitnet.golden.draws`)."""

    kind: str
    seed: int
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Case:
    """An operation, its inputs and why these."""

    id: str  # the operation, a slash, and what is special
    why: str
    inputs: Mapping[str, NDArray[Any] | Drawn]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stage: str | None = None
    layer: int | None = None
    seed: int | None = None  # of the inputs, where they are drawn

    @property
    def operation(self) -> str:
        """What is computed."""
        return self.id.split("/")[0]

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """The inputs, drawn where they are to be."""
        return {
            name: draw(x.kind, x.seed, x.shape) if isinstance(x, Drawn) else x
            for name, x in self.inputs.items()
        }


def f32(values: object) -> NDArray[np.float32]:
    """Numbers written out, as float32."""
    return np.array(values, np.float32)


def i32(values: object) -> NDArray[np.int32]:
    """Whole numbers written out."""
    return np.array(values, np.int32)


def i8(values: object) -> NDArray[np.int8]:
    """Codes written out."""
    return np.array(values, np.int8)


def uniform(seed: int, *shape: int, scale: float = 1) -> NDArray[np.float32]:
    """Numbers from -scale to scale."""
    array: NDArray[np.float32] = draw("floats", seed, shape) * np.float32(scale)
    return array
