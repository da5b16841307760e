"""The model's numbers, each with its letter.

The letters stand for axis sizes everywhere in this package. Whoever knows them can read
every shape in it.

Notes
-----
::

    T   tokens now                 L   layers
    S   tokens so far              D   length of a token's vector
    H   query heads                F   length inside the feed-forward
    G   key/value heads            V   vocabulary
    d   length of a head           M x N   a matrix of M outputs and N inputs

One of the numbers is a word: ``hidden_act``, squared ReLU for 2B4T. SiLU in its place
gives fluent nonsense.

References
----------
config.json of microsoft/bitnet-b1.58-2B-4T, whose names these are;
`minibitnet.checkpoint.configfile` reads it.

Examples
--------
A head of 2B4T has 128 coordinates, and four query heads share a key:

>>> from minibitnet.checkpoint.configfile import parse_config
>>> from minibitnet.files.published import CONFIG
>>> config = parse_config(CONFIG)
>>> config.head_dim, config.num_attention_heads // config.num_key_value_heads
(128, 4)
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    """The numbers of one model."""

    hidden_size: int  # D
    intermediate_size: int  # F
    num_hidden_layers: int  # L
    num_attention_heads: int  # H
    num_key_value_heads: int  # G: each serves H // G query heads
    head_dim: int  # d
    vocab_size: int  # V
    max_position_embeddings: int  # the context: how many positions there are
    rope_theta: float
    rms_norm_eps: float
    hidden_act: str  # "relu2" or "silu"
    eos_token_ids: tuple[int, ...]  # generation stops at any of them
