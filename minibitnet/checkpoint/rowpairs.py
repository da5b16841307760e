"""Row pairs: how RoPE takes the rows of q and k, as far as weights can tell.

RoPE turns rows j and j + d/2 of a head as a pair; other programs store the rows in
another order, so that 2j and 2j + 1 are the pair, and a port that takes one for the
other writes nonsense from the second token on. Names and sizes are the same. But what
the two rows of a pair have with one another in q and in k is what makes a score depend
on a distance. So in ``C = Wq Wk^T`` of a head, (d, d), the squares of the entries that
join the rows of a pair are larger than those beside them. With E = C**2, divided by its
mean over a head, and j modulo d, over all j, heads and layers::

    halves       E[j, j + d/2] less the mean of E[j, j + d/2 - 1] and E[j, j + d/2 + 1]
    neighbours   E[j, j ^ 1]   less E[j, the neighbour on the other side]

each as its mean over its standard error. The order is the one that is above 4, if the
other is not. This is an observation, not a law: in the small model that comes with
this package the six layers together are enough, three are not; weights drawn at random
show nothing, and then it is said that nobody knows.

Examples
--------
The small model that comes with the package, and the same rows in the other order:

>>> from minibitnet.checkpoint.packedbytes import read_file
>>> from minibitnet.stories import BUILT_IN
>>> file = read_file(BUILT_IN)
>>> pairs = [codes_of(file.packed, layer, "packed") for layer in range(6)]
>>> weigh(pairs, file.config)
{'halves': 5.7, 'neighbours': 2.9}
>>> weigh([(interleave(q, 32), interleave(k, 32)) for q, k in pairs], file.config)
{'halves': -1.4, 'neighbours': 5.0}
"""

def rope_order(file: File, layout: str) -> dict[str, float]:
    """What speaks for the two orders of the rows of q and k, in standard errors."""
    assert file.config is not None
    by_name = {stored.name: stored for stored in file.packed}
    heads: list[tuple[F64, F64]] = []
    for name in progress([name for name in by_name if name.endswith(Q)], "rows"):
        pair = [by_name[name], by_name.get(name.removesuffix(Q) + K)]
        if None not in pair:
            codes = [READINGS[layout](s.data, *s.shapes[0]) for s in pair if s]
            heads += compare_pairs(codes[0], codes[1], file.config)
    return {
        order: _standard_errors([head[n] for head in heads])
        for n, order in enumerate(("halves", "neighbours"))
    }


def _standard_errors(parts: Sequence[F64]) -> float:
    """A mean in standard errors; 0 of nothing."""
    values = np.concatenate([np.zeros(1), *parts])
    return float(values.mean() / max(values.std() / math.sqrt(values.size), 1e-9))


def compare_pairs(q_codes: I8, k_codes: I8, config: Config) -> list[tuple[F64, F64]]:
    """How much more rows of q and k have in common as pairs than beside them, by head.

    q_codes (M, N), k_codes (K, N)
    """
    d, group = config.head_dim, config.num_attention_heads // config.num_key_value_heads
    j, odd = np.arange(d), np.arange(d) % 2
    q = q_codes.reshape(-1, group, d, q_codes.shape[1]).astype(np.float32)
    k = k_codes.reshape(-1, 1, d, k_codes.shape[1]).astype(np.float32)
    heads = np.square((q @ np.swapaxes(k, 2, 3)).astype(np.float64)).reshape(-1, d, d)
    found = []
    for E in heads / np.maximum(heads.mean(axis=(1, 2), keepdims=True), 1e-9):
        half = [E[j, (j + d // 2 + step) % d] for step in (-1, 0, 1)]
        beside = E[j, (j - 1 + 2 * odd) % d]  # the neighbour of another pair
        found.append((half[1] - (half[0] + half[2]) / 2, E[j, j ^ 1] - beside))
    return found


