"""Answers to the exercises of notebook 16."""

from minibitnet.absmax import quantize_activations
from minibitnet.absmean import quantize_weights

# The line is at 0.5 * 0.80 = 0.40. After five steps the master is on it, and a tie goes
# to the even code, 0. After six it is beyond.
steps = 6


def dx(dy, W):
    w_codes, w_scale = quantize_weights(W)
    return dy @ (w_codes * w_scale)


def dmasters(dy, x):
    x_codes, x_scale = quantize_activations(x)
    return dy.T @ (x_codes * x_scale)
