"""Answers to the exercises of notebook 9."""

import numpy as np

# Twenty query heads, five key/value heads: four share one.
head = 14 // (20 // 5)


def gathered(q, keys, values):
    H, d = q.shape
    G = len(keys)
    rows = []
    for h in range(H):
        g = h // (H // G)
        scores = keys[g] @ q[h] / np.sqrt(d)
        powers = np.exp(scores - scores.max())
        rows.append(powers / powers.sum() @ values[g])
    return np.array(rows)
