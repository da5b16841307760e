"""Exercises of notebook 18, in which layout bytes are."""

import numpy as np
from numpy.typing import NDArray

from minibitnet.checkpoint.packedbytes import read_file
from minibitnet.course.exercise import Exercise
from minibitnet.formats import LAYOUTS, i2_s
from minibitnet.golden.zoo import find_bug, mutate
from minibitnet.stories import BUILT_IN

Bytes = NDArray[np.uint8]
Codes = NDArray[np.int8]

M, N = 688, 256
[_stored] = read_file(BUILT_IN, "model.layers.0.mlp.up_proj.weight").packed
MATRIX = LAYOUTS["packed"].unpack(_stored.data, M, N)  # of a trained model
_HIDDEN = "i2_s_rows"
MYSTERY = LAYOUTS[_HIDDEN].pack(MATRIX)  # in which layout?

rng = np.random.default_rng(18)


def _case(rows: int, blocks: int) -> tuple[Bytes, int, int]:
    codes = rng.integers(-1, 2, (rows, 128 * blocks)).astype(np.int8)
    data = i2_s.pack(codes, 0.75)
    data[-28:] = rng.integers(0, 256, 28)  # which mean nothing
    return data, rows, 128 * blocks


CASES = [_case(4, 1), _case(4, 2), _case(8, 3)]


def unpack(data: Bytes, M: int, N: int) -> Codes:
    """The right answer to `check_unpack`."""
    return i2_s.unpack(data, M, N)


_READ = {
    name: mutate(find_bug(name).in_layouts()[i2_s.__name__]).unpack
    for name in (
        *("blocks-of-64", "block-bits-reversed", "blocks-in-sequence"),
        *("blocks-as-four-rows", "code-map"),
    )
}


def unpack_sequence_high(data: Bytes, M: int, N: int) -> Codes:
    """Four neighbours a byte, the first in the highest bits."""
    return ((data[:-32, None] >> i2_s.SHIFTS & 3).astype(np.int8) - np.int8(1)).reshape(
        M, N
    )


def unpack_stored(data: Bytes, M: int, N: int) -> Codes:
    """One not taken off."""
    return i2_s.unpack(data, M, N) + np.int8(1)


def unpack_unsigned(data: Bytes, M: int, N: int) -> Bytes:
    """One taken off where there is no minus."""
    return (i2_s.unpack(data, M, N) + np.int8(1)).astype(np.uint8) - np.uint8(1)


def unpack_one_block(data: Bytes, M: int, N: int) -> Codes:
    """The quarters of the whole matrix in place of those of a block."""
    fours = data[:-32] >> i2_s.SHIFTS[:, None] & 3
    return (fours.astype(np.int8) - np.int8(1)).reshape(M, N)


def unpack_rows_as_blocks(data: Bytes, M: int, N: int) -> Codes:
    """The quarters of a row in place of those of a block."""
    fours = data[:-32].reshape(M, 1, N // 4) >> i2_s.SHIFTS[:, None] & 3
    return (fours.astype(np.int8) - np.int8(1)).reshape(M, N)


def unpack_as_quarters(data: Bytes, M: int, N: int) -> Codes:
    """As the checkpoint has it."""
    bands = [data[:-32].reshape(M // 4, N) >> shift & 3 for shift in (0, 2, 4, 6)]
    return np.concatenate(bands).astype(np.int8) - np.int8(1)


COUNTS = [
    (np.array([1, 1, 1]),),
    (np.array([300, 400, 300]),),
    (np.array([5, 90, 5]),),
    (np.array([1, 0, 1]),),
    (np.array([0, 7, 0]),),
]


def entropy(counts: NDArray[np.int64]) -> float:
    """The right answer to `check_entropy`."""
    p = counts[counts > 0] / counts.sum()
    return float(-(p * np.log2(p)).sum())


def entropy_in_nats(counts: NDArray[np.int64]) -> float:
    """By the natural logarithm."""
    return entropy(counts) * float(np.log(2))


def entropy_with_nan(counts: NDArray[np.int64]) -> float:
    """With 0 times the logarithm of 0."""
    p = counts / counts.sum()
    return float(-(p * np.log2(p)).sum())


def entropy_negative(counts: NDArray[np.int64]) -> float:
    """Without the minus."""
    return -entropy(counts)


def entropy_of_codes_used(counts: NDArray[np.int64]) -> float:
    """As if all codes that there are were equally frequent."""
    return float(np.log2((counts > 0).sum()))


def entropy_unweighted(counts: NDArray[np.int64]) -> float:
    """The mean over the codes, not over the weights."""
    p = counts[counts > 0] / counts.sum()
    return float(-np.log2(p).mean())


def entropy_of_all(counts: NDArray[np.int64]) -> float:
    """Of all weights together."""
    return entropy(counts) * float(counts.sum())


check_byte = Exercise(
    right=0b00_10_01_10,
    mistakes={
        "You put the first into the lowest bits, as TQ2_0 has it. In I2_S it is in the "
        "highest.": 0b10_01_10_00,
        "You stored -1, 0, +1 as 3, 0, 1. What is stored is code + 1.": 0b11_01_00_01,
        "You added up what is stored. Each has two bits of its own: shift by 6, 4, 2, "
        "0.": 5,
    },
)
check_unpack = Exercise(
    right=unpack,
    mistakes={
        "You cut rows into blocks of 64, as ARM builds do. Files have blocks of 128: "
        "32 bytes.": _READ["blocks-of-64"],
        "Your quarters come in the wrong order. The first is in the highest two bits."
        "": _READ["block-bits-reversed"],
        "You took the codes of a byte for four neighbours. They are 32 apart.": (
            _READ["blocks-in-sequence"],
            unpack_sequence_high,
        ),
        "You took the codes of a byte for four rows of one column. They are in one "
        "row, 32 apart.": _READ["blocks-as-four-rows"],
        "You took 0, 1, 2 for 0, +1, -1. They are code + 1.": _READ["code-map"],
        "You forgot to take 1 off: 0, 1, 2 stand for -1, 0, +1.": unpack_stored,
        "uint8 has no -1: what is 0 has become 255. Make int8 of it first."
        "": unpack_unsigned,
        "Those are the quarters of the whole matrix. Each block of 32 bytes has its "
        "own.": unpack_one_block,
        "Those are the quarters of a row. Each block of 32 bytes has its own."
        "": unpack_rows_as_blocks,
        "That is how the checkpoint has it: four rows, a quarter of the matrix apart."
        "": unpack_as_quarters,
    },
    cases=CASES,
)
check_entropy = Exercise(
    right=entropy,
    mistakes={
        "Those are nats. Bits are by the logarithm to the base 2.": entropy_in_nats,
        "0 log 0 is NaN to NumPy. A code that does not occur needs no bits: leave it "
        "out.": entropy_with_nan,
        "It is negative. The logarithm of a share is below 0: turn the sign."
        "": entropy_negative,
        "That is right only where all are equally frequent.": entropy_of_codes_used,
        "That is a mean over the codes. A code counts as often as it occurs: weigh by "
        "its share.": entropy_unweighted,
        "That is for all weights together. Of one weight: by the shares.": (
            entropy_of_all
        ),
    },
    cases=COUNTS,
)
check_mystery = Exercise(
    right=[*LAYOUTS].index(_HIDDEN),
    mistakes={
        "That can be read so, but its zeros are spread too evenly: another reading has "
        "more structure.": ([*LAYOUTS].index("i2_s"), [*LAYOUTS].index("i2_s_arm")),
        "That reading is refused: look at what unpack says.": tuple(
            [*LAYOUTS].index(name)
            for name in ("packed", "tq2_0", "tq1_0", "tl1", "tl2", "gpu_int2", "base3")
        ),
    },
)
