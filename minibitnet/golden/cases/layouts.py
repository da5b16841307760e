"""Cases of layouts: ternary matrices as GGUF files have them.

Two blocks in a row tell apart blocks of other sizes; four rows, a byte of four rows;
codes of which no count is another's, a code that stands for something else; a scale
that is not 1, one that is missed. I2_S has bytes without a meaning behind its scale.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.formats import i2_s, tq1_0, tq2_0
from minibitnet.golden.cases import Case, Drawn, f32
from minibitnet.golden.cases.codes import ternary

SCALE = 0.65625  # exact in float16, too


def uneven(seed: int, M: int, N: int) -> NDArray[np.int8]:
    """Codes, most of them 0 and the fewest -1, none of them in a pattern."""
    codes = ternary(seed, M, N)
    codes[ternary(seed + 1, M, N) == 0] = 0
    codes[(codes < 0) & (ternary(seed + 2, M, N) < 0)] = 1
    return codes


def first_byte(quarter: int) -> NDArray[np.int8]:
    """A row of +1, but -1, 0, +1, -1 where the four quarters of a block begin."""
    codes = np.ones((1, 256), np.int8)
    codes[0, : 4 * quarter : quarter] = -1, 0, 1, -1
    return codes


def both(name: str, why: str, type_: str, codes: NDArray[np.int8]) -> list[Case]:
    """A matrix to be packed, and to be unpacked."""
    layout = {"I2_S": i2_s, "TQ1_0": tq1_0, "TQ2_0": tq2_0}[type_]
    p = {"type": type_, "M": codes.shape[0], "N": codes.shape[1]}
    inputs: dict[str, NDArray[Any] | Drawn] = {"codes": codes, "scale": f32([SCALE])}
    return [
        Case(f"unpack_gguf/{name}", why, {"data": layout.pack(codes, SCALE)}, p),
        Case(f"pack_gguf/{name}", why, inputs, p),
    ]


def cases() -> list[Case]:
    """All of them."""
    byte = "The first byte alone: which four codes, and which in the highest bits."
    block = "Two blocks in each of four rows."
    digits = "The first byte alone: five digits, the first the highest, as a fraction."
    zeros = uneven(25, 3, 512)
    zeros[1, 256:] = 0
    none = "A block of zeros has the scale 0."
    tail = i2_s.pack(uneven(28, 4, 128), SCALE)
    tail[-28:] = np.arange(1, 29)
    p = {"type": "I2_S", "M": 4, "N": 128}
    why = "The scale is the first float32 behind the codes; what follows means nothing."
    return [
        *both("i2_s_byte", byte, "I2_S", first_byte(32)),
        *both("i2_s_blocks", block, "I2_S", uneven(19, 4, 256)),
        Case("unpack_gguf/i2_s_tail", why, {"data": tail}, p),
        *both("tq2_0_byte", byte, "TQ2_0", first_byte(32)),
        *both("tq2_0_blocks", block, "TQ2_0", uneven(22, 4, 512)),
        *both("tq2_0_zeros", none, "TQ2_0", zeros),
        *both("tq1_0_byte", digits, "TQ1_0", first_byte(32)),
        *both("tq1_0_blocks", block, "TQ1_0", uneven(22, 4, 512)),
    ]
