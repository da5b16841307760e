"""Answers to the exercises of notebook 15."""

# Keys and values, 30 layers, 5 heads of 128 numbers, 2 bytes each.
cache = 2 * 30 * 5 * 128 * 2


def matrix_bytes(D, F, H, G, d, bits):
    attention = 2 * H * d * D + 2 * G * d * D
    feed_forward = 3 * F * D
    return (attention + feed_forward) * bits / 8


def token_energy(ternary, head, width, layers, tokens):
    attention = 2 * tokens * width * layers
    picojoules = 0.007 * ternary + 0.50 * (head + attention)
    return picojoules / 1e6
