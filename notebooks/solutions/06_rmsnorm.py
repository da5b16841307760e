"""Answers to the exercises of notebook 6."""

import numpy as np

# 1, 1, 9 and 25 have the mean 9.
size = 3.0


def norm(x, gain, eps):
    mean_square = np.square(x).mean(axis=1, keepdims=True)
    return x / np.sqrt(mean_square + eps) * gain
