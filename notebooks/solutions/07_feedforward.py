"""Answers to the exercises of notebook 7."""

import numpy as np

# 2 * 2 * -3
value = -12.0


def gated(gate, up):
    return np.maximum(gate, 0) ** 2 * up
