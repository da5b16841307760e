"""From arrays to a model: which array goes where.

Each array of a checkpoint has a name that says its place. Assembling is going through
the places a model has, taking the array of that name, checking that it has the shape
the config asks for, and seeing in the end that no array is left over.

Notes
-----
The sub-norms go by two names, after the code they came from. If the config ties them,
or there is no ``lm_head.weight`` and the config does not say, the head is the
embedding.

References
----------
Tensor names of microsoft/bitnet-b1.58-2B-4T and 1bitLLM/bitnet_b1_58-large.

Examples
--------
The ternary weights of 2B4T:

>>> from minibitnet.config import parse_config
>>> from minibitnet.files.published import CONFIG
>>> config = parse_config(CONFIG)
>>> for name, (M, N) in matrices(config).items():
...     print(name, M, N)
self_attn.q_proj 2560 2560
self_attn.k_proj 640 2560
self_attn.v_proj 640 2560
self_attn.o_proj 2560 2560
mlp.gate_proj 6912 2560
mlp.up_proj 6912 2560
mlp.down_proj 2560 6912
>>> config.num_hidden_layers * sum(M * N for M, N in matrices(config).values())
2084044800
"""

from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray
from tqdm import tqdm

from minibitnet.attention import Attention
from minibitnet.bitlinear import BitLinear
from minibitnet.config import Config
from minibitnet.feedforward import FeedForward
from minibitnet.files.tensorfile import Tensor
from minibitnet.kernels import make_multiply
from minibitnet.model import Block, Model
from minibitnet.shelf import ATTN_SUB_NORM, FFN_SUB_NORM, FLOATS, Shelf

QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
OUT = ("self_attn.o_proj",)
GATE_UP = ("mlp.gate_proj", "mlp.up_proj")
DOWN = ("mlp.down_proj",)
GROUPS = (QKV, OUT, GATE_UP, DOWN)  # matrices that read the same input


def matrices(config: Config) -> dict[str, tuple[int, int]]:
    """The ternary matrices of one layer and their shapes.

    Parameters
    ----------
    config : Config
        Of the model.

    Returns
    -------
    shapes : dict
        From name to (M, N).
    """
    D, F = config.hidden_size, config.intermediate_size
    queries = config.num_attention_heads * config.head_dim
    keys = config.num_key_value_heads * config.head_dim
    return {
        "self_attn.q_proj": (queries, D),
        "self_attn.k_proj": (keys, D),
        "self_attn.v_proj": (keys, D),
        "self_attn.o_proj": (D, queries),
        "mlp.gate_proj": (F, D),
        "mlp.up_proj": (F, D),
        "mlp.down_proj": (D, F),
    }


def norms(config: Config) -> dict[str, int]:
    """The norms of one layer and their lengths.

    Parameters
    ----------
    config : Config
        Of the model.

    Returns
    -------
    lengths : dict
        From name to N; the sub-norms by the names that 2B4T has for them.
    """
    return {
        "input_layernorm": config.hidden_size,
        ATTN_SUB_NORM[0]: config.num_attention_heads * config.head_dim,
        "post_attention_layernorm": config.hidden_size,
        FFN_SUB_NORM[0]: config.intermediate_size,
    }


def build_model(
    config: Config,
    tensors: Mapping[str, Tensor],
    kernel: str = "auto",
    threads: int = 1,
) -> Model:
    """A model from the arrays of a checkpoint.

    Parameters
    ----------
    config : Config
        The numbers.
    tensors : dict
        The arrays by name.
    kernel : str
        How to compute the ternary product.
    threads : int
        How many compute at once.

    Returns
    -------
    model : Model
        Ready to run.

    Raises
    ------
    CheckpointError
        If an array is missing, left over, or not what the config asks for.
    """
    shelf = Shelf(config, tensors)
    D, V = config.hidden_size, config.vocab_size
    embed_tokens = shelf.take("model.embed_tokens.weight", FLOATS, (V, D)).array
    layers = tqdm(range(config.num_hidden_layers), "loading", leave=False, delay=2)
    blocks = tuple(build_block(shelf, f"model.layers.{L}", kernel) for L in layers)
    norm = shelf.gain("model.norm", D)
    lm_head = take_head(shelf, embed_tokens)
    shelf.check_empty()
    return Model(config, embed_tokens, blocks, norm, lm_head, threads)


def build_block(shelf: Shelf, layer: str, kernel: str) -> Block:
    """The weights of one layer.

    Parameters
    ----------
    shelf : Shelf
        Where to take them.
    layer : str
        What their names begin with, as ``"model.layers.7"``.
    kernel : str
        How to compute the ternary product.

    Returns
    -------
    block : Block
        Ready to run.
    """
    lengths = norms(shelf.config)
    attn_width, ffn_width = lengths[ATTN_SUB_NORM[0]], lengths[FFN_SUB_NORM[0]]
    D = shelf.config.hidden_size
    return Block(
        input_layernorm=shelf.gain(f"{layer}.input_layernorm", D),
        self_attn=Attention(
            qkv_proj=build_bit_linear(shelf, layer, QKV, kernel),
            attn_sub_norm=shelf.sub_norm(layer, ATTN_SUB_NORM, attn_width),
            o_proj=build_bit_linear(shelf, layer, OUT, kernel),
        ),
        post_attention_layernorm=shelf.gain(f"{layer}.post_attention_layernorm", D),
        mlp=FeedForward(
            gate_up_proj=build_bit_linear(shelf, layer, GATE_UP, kernel),
            ffn_sub_norm=shelf.sub_norm(layer, FFN_SUB_NORM, ffn_width),
            down_proj=build_bit_linear(shelf, layer, DOWN, kernel),
        ),
    )


def build_bit_linear(
    shelf: Shelf, layer: str, names: Sequence[str], kernel: str
) -> BitLinear:
    """The matrices of a layer that read the same input.

    Parameters
    ----------
    shelf : Shelf
        Where to take them.
    layer : str
        What their names begin with.
    names : list of str
        What they are, as ``"mlp.gate_proj"``.
    kernel : str
        How to compute the ternary product.

    Returns
    -------
    bit_linear : BitLinear
        Ready to run.
    """
    shapes = [matrices(shelf.config)[name] for name in names]
    taken = [
        shelf.ternary(f"{layer}.{name}", M, N)
        for name, (M, N) in zip(names, shapes, strict=True)
    ]
    packed, scales = zip(*taken, strict=True)
    return BitLinear(
        names=tuple(name.split(".")[-1].removesuffix("_proj") for name in names),
        scales=scales,
        multiply=make_multiply(kernel, packed, [M for M, _ in shapes]),
    )


def take_head(shelf: Shelf, embed_tokens: NDArray[Any]) -> NDArray[Any]:
    """The matrix that makes the logits.

    Parameters
    ----------
    shelf : Shelf
        Where to take it.
    embed_tokens : ndarray of shape (V, D), uint16
        The embedding.

    Returns
    -------
    lm_head : ndarray of shape (V, D), uint16
        The embedding itself, where the two are tied.
    """
    config = shelf.config
    there = "lm_head.weight" in shelf.tensors
    if config.tie_word_embeddings or (config.tie_word_embeddings is None and not there):
        if there:  # a copy, as in the first release of 2B4T
            shelf.take("lm_head.weight", FLOATS, embed_tokens.shape)
        return embed_tokens
    head = shelf.take("lm_head.weight", FLOATS, (config.vocab_size, config.hidden_size))
    array: NDArray[Any] = head.array
    return array
