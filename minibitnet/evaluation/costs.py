"""Costs: bytes, operations and joules, computed from a config.

Where do "0.4 GB" and "0.028 J" come from? From counting. The memory column of the
report counts the ternary weights at log2(3) = 1.58 bits and nothing else. Its energy
column counts the additions and multiplications of matrix products over 512 tokens, at
so many picojoules each, and nothing else. Here is the counting, so that what is left
out can be counted too.

Notes
-----
Weights of a model (letters as in `minibitnet.config`)::

    ternary    L * (2*H*d*D + 2*G*d*D + 3*F*D)
    embedding  V * D, once more if the head is not tied to it

Energy of the report, for a pass over T tokens::

    linear     T * (weights without embedding) * e
    attention  2 * T**2 * H * d * L * 0.50 pJ     every token with every token, FP16

where e is 0.50 pJ for an FP16 multiplication and addition, and 0.007 pJ for the INT8
addition that a ternary weight takes. Left out: the head, norms, scales, softmax, and
all reading of memory, which on real hardware costs more than the arithmetic.

References
----------
Ma et al., BitNet b1.58 2B4T Technical Report, 2025, arXiv 2504.12285, table 1 and
appendix; Wang et al., BitNet, 2023, arXiv 2310.11453, table 2 (energy of an operation
at 7 nm).

Examples
--------
>>> from dataclasses import replace
>>> from minibitnet.checkpoint.configfile import parse_config
>>> from minibitnet.files.published import CONFIG
>>> weights = count_weights(parse_config(CONFIG))
>>> weights.ternary, weights.embedding
(2084044800, 328335360)

At 1.58 bits the ternary weights are the report's 0.4 GB. The file holds them at 2 bits,
and the embedding at 16:

>>> f"{size(weights.ternary, 1.58) / 1e9:.3f} {size(weights.ternary, 2) / 1e9:.3f}"
'0.412 0.521'
>>> f"{size(weights.embedding, 16) / 1e9:.3f}"
'0.657'
>>> energy = estimate_energy(parse_config(CONFIG), tokens=512, weight=INT8_ADD)
>>> f"{energy.linear:.4f} + {energy.attention:.4f} J"
'0.0075 + 0.0201 J'

A token is written no sooner than all weights have been read. With 1,440 layers in place
of 30 the model would have 100 billion weights; from memory at 30 GB/s, and from a disk
at 3 GB/s where memory is too small, a token would take so many seconds:

>>> large = replace(parse_config(CONFIG), num_hidden_layers=1440)
>>> count_weights(large).ternary
100034150400
>>> [round(step_size(large, tokens=0) / speed, 2) for speed in (30e9, 3e9)]
[0.86, 8.56]
"""

import math
from typing import Any, NamedTuple

from minibitnet.config import Config
from minibitnet.files.published import CODE_COUNTS
from minibitnet.kernels.lookup import CHUNK, GROUP, HIGH
from minibitnet.weights import (
    EMBEDDING,
    GROUPS,
    HEAD,
    is_norm,
    is_ternary,
    matrices,
    shapes,
)

FP16_MULTIPLY_ADD = 0.34e-12 + 0.16e-12  # joules, at 7 nm
INT8_ADD = 0.007e-12  # joules, at 7 nm
BITS = (16, 8, 2, 1.6, 1.58)  # of a ternary weight: what it could be stored in
# Of +1 and of -1 in 2B4T; another model has about the same.
SHARES = tuple(CODE_COUNTS[code] / sum(CODE_COUNTS.values()) for code in (+1, -1))


class Weights(NamedTuple):
    """How many weights, by part."""

    ternary: int
    embedding: int  # and the head, if it is another matrix
    norms: int


class Operations(NamedTuple):
    """What one token takes, by kind."""

    adds: int
    subtracts: int
    multiplies: int
    look_ups: int


class Energy(NamedTuple):
    """Joules of matrix products by the report's model."""

    linear: float
    attention: float


class Published(NamedTuple):
    """A row of the report's table 1, and the sizes it is computed from."""

    sizes: tuple[int, ...]  # D, F, L, H, G, d, V
    bits: float  # of a weight
    gigabytes: float
    joules: float

    @property
    def config(self) -> Config:
        """The numbers of the model; those that cost nothing are made up."""
        D, F, L, H, G, d, V = self.sizes
        return Config(D, F, L, H, G, d, V, REPORT_TOKENS, 1e4, 1e-5, "silu", ())


REPORT_TOKENS = 512  # its energy is of a pass over so many
REPORT = {
    "LLaMA 3.2 1B": Published((2048, 8192, 16, 32, 8, 64, 128256), 16, 2, 0.258),
    "Gemma-3 1B": Published((1152, 6912, 26, 4, 1, 256, 262144), 16, 1.4, 0.186),
    "Qwen2.5 1.5B": Published((1536, 8960, 28, 12, 2, 128, 151936), 16, 2.6, 0.347),
    "SmolLM2 1.7B": Published((2048, 8192, 24, 32, 32, 64, 49152), 16, 3.2, 0.425),
    "MiniCPM 2B": Published((2304, 5760, 40, 36, 36, 64, 122753), 16, 4.8, 0.649),
    "BitNet b1.58 2B4T": Published(
        (2560, 6912, 30, 20, 5, 128, 128256), 1.58, 0.4, 0.028
    ),
}


def count_weights(
    config: Config, *, sub_norms: bool = True, tied: bool = True
) -> Weights:
    """How many weights a model has."""
    every = shapes(config, sub_norms=sub_norms, tied=tied)
    counts = {name: math.prod(shape) for name, shape in every.items()}
    return Weights(
        ternary=sum(n for name, n in counts.items() if is_ternary(name)),
        embedding=counts[EMBEDDING] + counts.get(HEAD, 0),
        norms=sum(n for name, n in counts.items() if is_norm(name)),
    )


def size(weights: int, bits: float) -> float:
    """The bytes of so many weights."""
    return weights * bits / 8


def cache_size(config: Config, tokens: int, bits: float = 32) -> float:
    """The bytes of the keys and values of so many tokens."""
    width = config.num_key_value_heads * config.head_dim
    return size(2 * config.num_hidden_layers * width * tokens, bits)


def step_size(config: Config, tokens: int) -> float:
    """The bytes that a decode step has to read at least, behind so many tokens.

    Ternary weights at 2 bits, the head at 16, as in 2B4T's file, and the cache.
    """
    ternary = size(count_weights(config).ternary, 2)
    head = size(config.vocab_size * config.hidden_size, 16)
    return ternary + head + cache_size(config, tokens)


def count_ternary(config: Config, plus: float, minus: float) -> Operations:
    """What the ternary products of one token take, by masks.

    `plus` and `minus` are the shares of +1 and -1 among the weights.
    """
    ternary = count_weights(config).ternary
    return Operations(round(ternary * plus), round(ternary * minus), 0, 0)


def count_scaling(config: Config) -> Operations:
    """What quantizing and scaling back take for one token."""
    sizes = matrices(config)
    inputs = sum(sizes[names[0]][1] for names in GROUPS)
    outputs = sum(M for M, _ in sizes.values())
    return Operations(0, 0, config.num_hidden_layers * (inputs + outputs), 0)


def count_attention(config: Config, tokens: int) -> Operations:
    """What scores and weighted values take for one token, behind so many others."""
    H, d, L = config.num_attention_heads, config.head_dim, config.num_hidden_layers
    products = 2 * L * H * d * tokens
    return Operations(products, 0, products, 0)


def count_head(config: Config) -> Operations:
    """What the logits of one token take."""
    products = config.vocab_size * config.hidden_size
    return Operations(products, 0, products, 0)


def count_look_ups(config: Config) -> Operations:
    """What the ternary products of one token take, by `minibitnet.kernels.lookup`."""
    adds = look_ups = 0
    sizes = matrices(config)
    for names in GROUPS:
        groups = -(-sizes[names[0]][1] // (CHUNK * GROUP)) * CHUNK
        look_ups += groups * sum(sizes[name][0] for name in names)
        parts = 3**HIGH * (HIGH - 1) + 3 ** (GROUP - HIGH) * (GROUP - HIGH - 1)
        adds += groups * (3**GROUP + parts)
    L = config.num_hidden_layers
    return Operations(L * (adds + look_ups), 0, 0, L * look_ups)


def estimate_energy(config: Config, tokens: int, weight: float) -> Energy:
    """The energy of one pass by the report's model, at `weight` joules per weight."""
    H, d, L = config.num_attention_heads, config.head_dim, config.num_hidden_layers
    return Energy(
        linear=tokens * count_weights(config).ternary * weight,
        attention=2 * tokens**2 * H * d * L * FP16_MULTIPLY_ADD,
    )


def compare(row: Published) -> dict[str, float]:
    """A row of the report beside what is computed."""
    weight = INT8_ADD if row.bits < 2 else FP16_MULTIPLY_ADD
    energy = estimate_energy(row.config, REPORT_TOKENS, weight)
    return {
        "GB": size(count_weights(row.config).ternary, row.bits) / 1e9,
        "GB, published": row.gigabytes,
        "J linear": energy.linear,
        "J attention": energy.attention,
        "J": energy.linear + energy.attention,
        "J, published": row.joules,
    }


def count_all(config: Config, weights: Weights, tokens: int) -> dict[str, Any]:
    """All that can be counted, with so many tokens in the cache."""
    embedding = size(weights.embedding, 16)
    operations = {
        "ternary products, by masks": count_ternary(config, *SHARES),
        "the same, by tables": count_look_ups(config),
        "quantizing and scaling": count_scaling(config),
        f"attention, {tokens} tokens": count_attention(config, tokens),
        "head": count_head(config),
    }
    return {
        "weights": weights._asdict(),
        "bytes by bits of a ternary weight": {
            f"{bits:g}": {
                "ternary": size(weights.ternary, bits),
                "with embedding at 16 bits": size(weights.ternary, bits) + embedding,
            }
            for bits in BITS
        },
        f"cache of {tokens} tokens": cache_size(config, tokens),
        f"read to write a token behind {tokens}": step_size(config, tokens),
        "operations of a token": {k: o._asdict() for k, o in operations.items()},
        "report": {name: compare(row) for name, row in REPORT.items()},
    }
