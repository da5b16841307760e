"""Answers to the exercises of notebook 14."""

import numpy as np

# 2560 / 7 is 365 and a rest of five weights, which make one group more
look_ups = 366


def table(x_codes):
    sums = np.zeros(1, np.int32)
    for x in x_codes.astype(np.int32):
        sums = np.add.outer(sums, [-x, 0, x]).ravel()
    return sums


def dot(x_planes, plus, minus):
    worth = np.array([1, 2, 4, 8, 16, 32, 64, -128])
    ones = np.bitwise_count(x_planes & plus).astype(int)
    ones -= np.bitwise_count(x_planes & minus)
    return worth @ ones.sum(axis=1)
