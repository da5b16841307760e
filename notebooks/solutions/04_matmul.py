"""Answers to the exercises of notebook 4."""

import numpy as np

# Take -5 away, add 4; the 3 is skipped.
operations = 2


def product(x_codes, w_codes):
    rows = [
        x_codes[:, row == 1].sum(axis=1, dtype=np.int32)
        - x_codes[:, row == -1].sum(axis=1, dtype=np.int32)
        for row in w_codes
    ]
    return np.stack(rows, axis=1)
