"""Row pairs: how RoPE takes the rows of q and k, as far as weights can tell.

RoPE turns two numbers of a head as a pair. In 2B4T they are j and j + d/2, the halves;
in other programs 2j and 2j + 1, neighbours, and their converters reorder the rows of q
and k. A port that takes one for the other writes nonsense from the second token on.
Names, sizes and all counts are the same.

But how a score depends on a distance is made by what the two rows of a pair have with
each other in q and in k, and training makes much of that.

Notes
-----
For a head let ``C = Wq Wk^T``, (d, d), of the codes, and E = C**2 divided by its mean.
With j modulo d, over all j, heads and layers::

    halves       E[j, j + d/2] less the mean of E[j, j + d/2 - 1] and E[j, j + d/2 + 1]
    neighbours   E[j, j ^ 1]   less E[j, the neighbour on the other side]

each as its mean in standard errors. Above 4 it is no chance. Rows of like frequency are
alike too, so that one order may show a little in the other's place; the order is the
one above 4, if the other is not.

This is an observation and no law: in the small model that comes with this package six
layers together show it, one does not. Weights drawn at random show nothing. The order
of columns does not matter, so it is the same for all kinds of I2_S.

Examples
--------
The small model, and the same rows in the other order:

>>> from minibitnet.checkpoint.packedbytes import read_file
>>> from minibitnet.stories import BUILT_IN
>>> file = read_file(BUILT_IN)
>>> pairs = [*read_pairs(file.packed, "packed", file.config)]
>>> {order: round(z, 1) for order, z in weigh(pairs, file.config).items()}
{'halves': 5.7, 'neighbours': 2.9}
>>> def as_neighbours(w_codes):  # rows j and j + 16 of each head side by side
...     heads = w_codes.reshape(-1, 2, 16, w_codes.shape[1])
...     return heads.swapaxes(1, 2).reshape(w_codes.shape)
>>> turned = [(as_neighbours(q), as_neighbours(k)) for q, k in pairs]
>>> {order: round(z, 1) for order, z in weigh(turned, file.config).items()}
{'halves': -1.4, 'neighbours': 5.1}
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np

from minibitnet.arrays import F64, I8
from minibitnet.checkpoint.packedbytes import Stored
from minibitnet.config import Config
from minibitnet.files.progress import progress
from minibitnet.formats.detect import READINGS
from minibitnet.weights import matrices

Q, K = "self_attn.q_proj.weight", "self_attn.k_proj.weight"
CLEAR = 4.0  # standard errors


def choose(evidence: Mapping[str, float]) -> str:
    """The order that is clear, if one is and the other is not; else "unknown"."""
    clear = [order for order, z in evidence.items() if z > CLEAR]
    return clear[0] if len(clear) == 1 else "unknown"


def read_pairs(
    packed: Sequence[Stored], layout: str, config: Config
) -> Iterator[tuple[I8, I8]]:
    """The codes of q and of k of each layer that has both, in the sizes of a config."""
    by_name = {stored.name: stored for stored in packed}
    sizes = matrices(config)
    names = [name for name in by_name if name.endswith(Q)]
    for name in progress(names, "comparing rows"):
        pair = by_name[name], by_name.get(name.removesuffix(Q) + K)
        shapes = [stored.shapes[0] for stored in pair if stored]
        if shapes != [sizes[name.removesuffix(".weight")] for name in (Q, K)]:
            continue
        try:
            q, k = (READINGS[layout](s.data, *s.shapes[0]) for s in pair if s)
        except ValueError:  # a damaged layer, which says nothing
            continue
        yield q, k


def weigh(pairs: Iterable[tuple[I8, I8]], config: Config) -> dict[str, float]:
    """What speaks for each of the two orders, in standard errors."""
    heads = [excess for q, k in pairs for excess in compare_heads(q, k, config)]
    halves, neighbours = zip(*heads, strict=True) if heads else ((), ())
    return {
        "halves": _standard_errors(halves),
        "neighbours": _standard_errors(neighbours),
    }


def compare_heads(
    q_codes: I8, k_codes: I8, config: Config
) -> Iterator[tuple[F64, F64]]:
    """How much more than beside them rows have in common as pairs, for each head.

    q_codes (M, N), k_codes (K, N)
    """
    d, group = config.head_dim, config.num_attention_heads // config.num_key_value_heads
    j, odd = np.arange(d), np.arange(d) % 2
    q = q_codes.reshape(-1, group, d, q_codes.shape[1]).astype(np.float32)
    k = k_codes.reshape(-1, 1, d, k_codes.shape[1]).astype(np.float32)
    heads = np.square((q @ np.swapaxes(k, 2, 3)).astype(np.float64)).reshape(-1, d, d)
    for E in heads / np.maximum(heads.mean(axis=(1, 2), keepdims=True), 1e-9):
        before, half, behind = (E[j, (j + d // 2 + step) % d] for step in (-1, 0, 1))
        other = E[j, (j - 1 + 2 * odd) % d]  # the neighbour of another pair
        yield half - (before + behind) / 2, E[j, j ^ 1] - other


def _standard_errors(parts: Sequence[F64]) -> float:
    """The mean in standard errors; 0 of nothing."""
    values = np.concatenate([np.zeros(1), *parts])
    return float(values.mean() / max(values.std() / math.sqrt(values.size), 1e-9))
