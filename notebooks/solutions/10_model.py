"""Answers to the exercises of notebook 10."""

import numpy as np

from minibitnet.rmsnorm import rms_norm

# Attention (3), sub-norm (1), rounding (4), o_proj (2)
order = [3, 1, 4, 2]


def next_token(h, gain, embedding):
    last = rms_norm(h[-1:], gain, 1e-5)[0]
    return np.argmax(embedding @ last)
