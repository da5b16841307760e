"""Answers to the exercises of notebook 11."""

import json

import numpy as np

# 3.0 * 2.0: the stored scale multiplies.
output = 6.0


def matrix(content):
    length = int.from_bytes(content[:8].tobytes(), "little")
    entry = json.loads(content[8 : 8 + length].tobytes())["a"]
    begin, end = entry["data_offsets"]
    bits = content[8 + length :][begin:end].view(np.uint16)
    return (bits.astype(np.uint32) << 16).view(np.float32).reshape(entry["shape"])
