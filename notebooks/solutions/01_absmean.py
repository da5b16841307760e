"""Answers to the exercises of notebook 1."""

import numpy as np

# 0.2, 1.2, 0.4 and 0.6 make 2.4; there are four.
scale = 0.6


def codes(W):
    scale = np.abs(W).mean()
    return np.clip(np.rint(W / scale), -1, 1).astype(np.int8)
