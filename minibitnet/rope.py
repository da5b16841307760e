"""RoPE: a token's position as a rotation.

Attention compares a query with keys by dot products, which know nothing of order.
Rotary position embedding turns every pair of coordinates of a query or key by an angle
proportional to its position in the text. A dot product of two turned vectors depends
only on the difference of their angles, so a score sees how far apart two tokens are,
and not where they stand.

Each pair turns at its own speed: the first by one radian a token, the last so slowly
that it has hardly moved at the end of the context.

Notes
-----
Coordinate j is paired with j + d/2 (the halves of a head), not with its neighbour. At
position t pair j turns by ``angle = t * theta ** (-2 * j / d)``, counterclockwise::

    y[j]       = x[j] * cos(angle) - x[j + d/2] * sin(angle)
    y[j + d/2] = x[j + d/2] * cos(angle) + x[j] * sin(angle)

Frequencies and angles are float32, for 2B4T the same numbers as in transformers (for
another theta a frequency may differ in its last bit). Cosine and sine are computed in
float64 and rounded once, so that every machine has the same; the turning is float32,
each product rounded before the two are added. The paper pairs neighbours; so does
Microsoft's GPU code, with rows of q_proj and k_proj reordered.

References
----------
Su et al., RoFormer, 2021, arXiv 2104.09864, section 3.2, equations 14-15 and 34.

Examples
--------
With theta 10000 and d = 4 the two pairs turn by 1 and by 0.01 radians a token. At
position 1 coordinates 0 and 2 go from (1, 0) to (cos 1, sin 1), and 1 and 3 from (1, 0)
to (cos 0.01, sin 0.01). Neighbours paired would have given -0.30 and 1.38 first;
turning the other way changes the sign of both sines.

>>> x = np.array([[[1.0, 1.0, 0.0, 0.0]]], np.float32)
>>> cos, sin = rotations(np.array([1]), head_dim=4, theta=10000.0)
>>> rotate(x, cos, sin).round(4)
array([[[0.5403, 1.    , 0.8415, 0.01  ]]], dtype=float32)
"""

import numpy as np

from minibitnet.arrays import F32, I64


def rotations(positions: I64, head_dim: int, theta: float) -> tuple[F32, F32]:
    """Cosine and sine of each pair's angle at each position.

    positions (T,) -> cos (T, d // 2), sin (T, d // 2)
    """
    # Rounded to float32 where transformers rounds: exponent, power, quotient, angle.
    exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
    powers = (theta ** exponents.astype(np.float64)).astype(np.float32)
    frequencies = 1 / powers
    angles = positions.astype(np.float32)[:, None] * frequencies
    wide = angles.astype(np.float64)
    return np.cos(wide).astype(np.float32), np.sin(wide).astype(np.float32)


def rotate(x: F32, cos: F32, sin: F32) -> F32:
    """Every head of every token turned to its position.

    x (T, H, d), cos (T, d // 2), sin (T, d // 2) -> y (T, H, d)
    """
    first, second = np.split(x, 2, axis=2)
    cos, sin = cos[:, None], sin[:, None]  # the same for all heads
    return np.concatenate(
        [first * cos - second * sin, second * cos + first * sin], axis=2
    )
