"""Numbers that somebody has seen of a stage: all of them or some, exact or rounded.

How near an array is to them is one number between 0 and 2: the length of the difference
by the length of both. It is the relative error where that is small, does not care which
of the two is the larger, and does not run away where one of them is nonsense.

Notes
-----
For numbers p and an array c::

    distance = sqrt(2 * sum((p - c)**2) / (sum(p**2) + sum(c**2)))

Of rounded numbers the differences that rounding explains are none. Two numbers that are
not finite are equal if they are the same; where only one is finite, the distance is 2.

Examples
--------
>>> seen = Seen(np.float64([[3.0, 4.0]]))
>>> [round(seen.distance(c), 3) for c in np.float32([[[3, 4]], [[3.03, 4.04]]])]
[0.0, 0.01]
>>> Seen(np.float64([3.14]), error=0.005).distance(np.float32([[3.1416]]))
0.0
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FARTHEST = 2.0
SLACK = 1 + 1e-6  # half a unit, as computed
# Summed in float64 in any order, and of an exp whose last bits are a machine's own
LAST_BIT = ("logits", "attn_weights")


@dataclass(frozen=True)
class Seen:
    """Numbers of a stage."""

    values: NDArray[Any]
    error: float | NDArray[np.float64] = 0.0  # what rounding may have changed them by
    known: NDArray[np.bool_] | None = None  # where not all were seen

    def in_rows(self, stage: str, width: int) -> "Seen":
        """The same with a row for each token.

        Raises ValueError if the numbers do not make whole rows.
        """
        shape = self.values.shape
        while len(shape) > 1 and shape[0] == 1:  # a batch of one
            shape = shape[1:]
        rows, rest = divmod(self.values.size, width)
        if rest or not rows or (len(shape) > 1 and rows != 1 and shape[0] != rows):
            raise ValueError(
                f"{stage}: expected rows of {width} numbers, one for each token, "
                f"found shape {self.values.shape}"
            )
        values = self.values.astype(np.float64).reshape(rows, width)
        error = np.broadcast_to(self.error, self.values.shape).reshape(rows, width)
        if stage.endswith(LAST_BIT):
            error = np.maximum(error, np.spacing(np.abs(values).astype(np.float32)))
        known = None if self.known is None else self.known.reshape(rows, width)
        return Seen(values, error, known)

    def differences(self, array: NDArray[Any]) -> NDArray[np.float64] | None:
        """Of each number, what rounding does not explain; None if rows are lacking.

        Attention among fewer tokens lacks rows, too: its rows are shorter.

        array (T, N) -> far (n, N)
        """
        if len(array) < len(self.values) or array.shape[-1] != self.values.shape[-1]:
            return None
        p, c = self.values, array[-len(self.values) :].astype(np.float64)
        with np.errstate(invalid="ignore"):  # infinity minus infinity
            far = np.abs(p - c)
        explained = far <= self.error * SLACK
        same = explained | (p == c) | (np.isnan(p) & np.isnan(c))
        if self.known is not None:
            same |= ~self.known
        return np.where(same, 0, far)

    def distance(self, array: NDArray[Any]) -> float:
        """How far an array is from the numbers: 0 if equal, 2 at most.

        array (T, N) -> distance ()
        """
        far = self.differences(array)
        if far is None or not np.isfinite(far).all():
            return FARTHEST
        if not far.any():
            return 0.0
        both = np.stack([self.values, array[-len(self.values) :]])
        seen = np.isfinite(both) if self.known is None else self.known
        size = np.square(np.where(seen & np.isfinite(both), both, 0)).sum()
        return float(np.sqrt(2 * np.square(far).sum() / size))
