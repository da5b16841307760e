"""The cache: keys and values of the tokens so far, the one thing here that changes.

A token's key and value never change once they are computed: later tokens are hidden
from it. So they are kept, and the next token is computed alone instead of with the
whole text before it.

Notes
-----
For each layer and each key/value head one row a position, in the order of the text::

    keys[layer, g, s]     the key of the token at position s, rotated to it (d,)
    values[layer, g, s]   its value (d,)

Positions at and behind `length` are free. Going back is forgetting: `truncate` lowers
the length, and what comes next is written over the rest.

References
----------
Shazeer, Fast Transformer Decoding, 2019, arXiv 1911.02150.

Examples
--------
>>> from minibitnet.checkpoint.configfile import parse_config
>>> from minibitnet.files.published import CONFIG
>>> cache = KVCache(parse_config(CONFIG), capacity=6)
>>> cache.keys.shape  # (L, G, capacity, d)
(30, 5, 6, 128)
>>> cache.length, cache.capacity
(0, 6)
"""

import numpy as np

from minibitnet.arrays import F32
from minibitnet.config import Config
from minibitnet.kernels.memory import unwritten


class KVCache:
    """Keys and values of the tokens so far.

    Parameters
    ----------
    config : Config
        Of the model it serves.
    capacity : int
        How many tokens it can hold; no more than the context of the model are used.

    Raises
    ------
    ValueError
        If the capacity is below 1.
    """

    def __init__(self, config: Config, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"capacity must be 1 or above, got {capacity}")
        L, G, d = config.num_hidden_layers, config.num_key_value_heads, config.head_dim
        self.config = config
        self.capacity = capacity = min(capacity, config.max_position_embeddings)
        self.length = 0  # S: tokens held
        self.keys = unwritten((L, G, capacity, d))
        self.values = unwritten((L, G, capacity, d))

    def write(self, layer: int, k: F32, v: F32) -> tuple[F32, F32]:
        """Put new tokens behind those held; all keys and values of the layer.

        k (T, G, d), v (T, G, d) -> keys (G, S, d), values (G, S, d)

        The length stays: whoever has written to every layer raises it.
        """
        end = self.length + len(k)
        self.keys[layer, :, self.length : end] = np.swapaxes(k, 0, 1)
        self.values[layer, :, self.length : end] = np.swapaxes(v, 0, 1)
        return self.keys[layer, :, :end], self.values[layer, :, :end]

    def truncate(self, length: int) -> None:
        """Forget all tokens but the first `length`.

        Raises
        ------
        ValueError
            If the cache does not hold that many.
        """
        if not 0 <= length <= self.length:
            raise ValueError(f"length must be from 0 to {self.length}, got {length}")
        self.length = length
