"""Exercises of notebook 3, where a weight sits in a byte."""

import numpy as np
from numpy.typing import NDArray

from minibitnet import packing
from minibitnet.course.drawing import draw_cells
from minibitnet.course.exercise import Exercise

Bytes = NDArray[np.uint8]
Codes = NDArray[np.int8]

PACKED = np.array([[0b10_01_00_10, 0b00_10_01_01], [0b01_01_10_00, 0b10_00_00_01]])
rng = np.random.default_rng(3)
STORED = rng.integers(0, 3, (2, 4, 2, 5), np.uint8)  # two files of four bands
RANDOM = np.bitwise_or.reduce(STORED << np.array(packing.SHIFTS)[:, None, None], axis=1)
CASES = [(PACKED.astype(np.uint8),), *((packed.astype(np.uint8),) for packed in RANDOM)]


def _fields(packed: Bytes, shifts: tuple[int, ...] = packing.SHIFTS) -> list[Codes]:
    return [((packed >> shift) & 3).astype(np.int8) for shift in shifts]


def unpack(packed: Bytes) -> Codes:
    """The right answer to `check_unpack`."""
    return packing.unpack(packed)


def unpack_neighbours(packed: Bytes) -> Codes:
    """Four rows that lie side by side."""
    R, N = packed.shape
    return np.stack(_fields(packed), axis=1).reshape(4 * R, N) - np.int8(1)


def unpack_columns(packed: Bytes) -> Codes:
    """Four columns that lie side by side."""
    R, N = packed.shape
    return np.stack(_fields(packed), axis=2).reshape(R, 4 * N) - np.int8(1)


def unpack_wide(packed: Bytes) -> Codes:
    """Bands side by side."""
    return np.concatenate(_fields(packed), axis=1) - np.int8(1)


def unpack_unmasked(packed: Bytes) -> NDArray[np.int64]:
    """The bits above a field left on."""
    return np.concatenate([packed >> shift for shift in packing.SHIFTS]).astype(int) - 1


def unpack_single_bits(packed: Bytes) -> Codes:
    """Shifts of one bit."""
    return np.concatenate(_fields(packed, (0, 1, 2, 3))) - np.int8(1)


def unpack_highest_first(packed: Bytes) -> Codes:
    """The first band in the highest bits."""
    return np.concatenate(_fields(packed, packing.SHIFTS[::-1])) - np.int8(1)


def unpack_stored(packed: Bytes) -> Codes:
    """One not taken off."""
    return np.concatenate(_fields(packed))


def unpack_two_s_complement(packed: Bytes) -> Codes:
    """Two bits taken for a signed number."""
    meaning = np.array([0, 1, -1, -2], np.int8)
    return meaning[np.concatenate(_fields(packed))]


def unpack_unsigned(packed: Bytes) -> Bytes:
    """One taken off where there is no minus."""
    return np.concatenate(_fields(packed)).astype(np.uint8) - np.uint8(1)


check_byte = Exercise(
    right=0b00_10_01_10,
    mistakes={
        "You put the first row into the highest bits. It goes into the lowest."
        "": 0b10_01_10_00,
        "You stored -1, 0, +1 as 3, 0, 1. What is stored is code + 1.": 0b11_01_00_01,
        "You added the codes up. Each has two bits of its own: shift by 0, 2, 4, 6.": 5,
        "You put the codes in as they are. What is stored is code + 1.": -47,
    },
)
check_unpack = Exercise(
    right=unpack,
    mistakes={
        "You took the four codes of a byte for four neighbouring rows. They are R rows "
        "apart: concatenate the bands.": unpack_neighbours,
        "You left the bits above a code on. Take the lowest two: & 3.": unpack_unmasked,
        "A code has two bits: shift by 0, 2, 4, 6.": unpack_single_bits,
        "Your bands come in the wrong order. The first is in the lowest two bits."
        "": unpack_highest_first,
        "You forgot to take 1 off: 0, 1, 2 stand for -1, 0, +1.": unpack_stored,
        "uint8 has no -1: what is 0 has become 255. Make int8 of it first."
        "": unpack_unsigned,
        "You took the four codes of a byte for four neighbouring columns. They are R "
        "rows apart: concatenate the bands.": unpack_columns,
        "Your bands stand side by side. They stand one below the other: R bytes make "
        "4 R rows.": unpack_wide,
        "You read two bits as a signed number. They are code + 1."
        "": unpack_two_s_complement,
    },
    cases=CASES,
    draw=draw_cells,
)
