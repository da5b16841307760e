"""Answers to the exercises of notebook 8."""

import numpy as np

# cos is 0 and sin is 1: (a, b) becomes (-b, a).
pair = [-2.0, 1.0]


def turned(x, position, theta):
    half = len(x) // 2
    angles = position * theta ** (-np.arange(half) / half)
    a, b = x[:half], x[half:]
    cos, sin = np.cos(angles), np.sin(angles)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin])
