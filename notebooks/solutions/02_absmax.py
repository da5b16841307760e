"""Answers to the exercises of notebook 2."""

import numpy as np

# 127 * -1.7 / 2.0 is -107.95.
code = -108


def codes(x):
    largest = np.maximum(np.abs(x).max(axis=1, keepdims=True), np.float32(1e-5))
    return np.rint(x * (127 / largest)).astype(np.int8)
