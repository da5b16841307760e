"""Answers to the exercises of notebook 3."""

import numpy as np

# +1, 0, +1, -1 are stored as 2, 1, 2, 0, the first in the lowest bits.
byte = 2 + 1 * 4 + 2 * 16 + 0 * 64


def unpack(packed):
    bands = [(packed >> shift) & 3 for shift in (0, 2, 4, 6)]
    return np.concatenate(bands).astype(np.int8) - np.int8(1)
