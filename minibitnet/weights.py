"""The weights: which arrays a model has, their names and shapes.

Seven matrices of a layer are ternary; its norms have gains; around the layers stand the
embedding, the last norm and the head. Everything that reads, writes, counts or trains
weights takes their names from here.

Notes
-----
Matrices that read the same input form a group: q, k and v; gate and up. The input is
quantized once for the whole group.

The head of 2B4T is the embedding itself ("tied"), and no array of its own. Models with
the body of Llama may lack the two sub-norms; 1bitLLM has them under other names.

References
----------
Tensor names of microsoft/bitnet-b1.58-2B-4T, 1bitLLM/bitnet_b1_58-large and
microsoft/bitnet-b1.58-2B-4T-gguf.

Examples
--------
The ternary weights of 2B4T:

>>> from minibitnet.checkpoint.configfile import parse_config
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
>>> gguf_name("model.layers.7.self_attn.o_proj.weight")
'blk.7.attn_output.weight'
"""

import re

from minibitnet.config import Config

EMBEDDING = "model.embed_tokens.weight"
FINAL_NORM = "model.norm.weight"
HEAD = "lm_head.weight"

QKV = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
OUT = ("self_attn.o_proj",)
GATE_UP = ("mlp.gate_proj", "mlp.up_proj")
DOWN = ("mlp.down_proj",)
GROUPS = (QKV, OUT, GATE_UP, DOWN)  # matrices that read the same input

ATTN_NORM = "input_layernorm"
ATTN_SUB_NORM = "self_attn.attn_sub_norm"
FFN_NORM = "post_attention_layernorm"
FFN_SUB_NORM = "mlp.ffn_sub_norm"
SUB_NORMS = (ATTN_SUB_NORM, FFN_SUB_NORM)

ONEBITLLM = {  # what 1bitLLM's checkpoints call them
    ATTN_SUB_NORM: "self_attn.inner_attn_ln",
    FFN_SUB_NORM: "mlp.ffn_layernorm",
}
GGUF = {  # what a GGUF file calls them, in a layer with "blk.L." in front
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    ATTN_NORM: "attn_norm",
    ATTN_SUB_NORM: "attn_sub_norm",
    FFN_NORM: "ffn_norm",
    FFN_SUB_NORM: "ffn_sub_norm",
}


def matrices(config: Config) -> dict[str, tuple[int, int]]:
    """The ternary matrices of one layer: from name to (M, N)."""
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
    """The norms of one layer: from name to the number of gains."""
    return {
        ATTN_NORM: config.hidden_size,
        ATTN_SUB_NORM: config.num_attention_heads * config.head_dim,
        FFN_NORM: config.hidden_size,
        FFN_SUB_NORM: config.intermediate_size,
    }


def shapes(
    config: Config, *, sub_norms: bool = True, tied: bool = True
) -> dict[str, tuple[int, ...]]:
    """Every array of a model, from name to shape, in the order of the computation."""
    inside: dict[str, tuple[int, ...]] = dict(matrices(config))
    for name, N in norms(config).items():
        if sub_norms or name not in SUB_NORMS:
            inside[name] = (N,)
    V, D = config.vocab_size, config.hidden_size
    every: dict[str, tuple[int, ...]] = {EMBEDDING: (V, D)}
    for layer in range(config.num_hidden_layers):
        every |= {in_layer(layer, name): shape for name, shape in inside.items()}
    every[FINAL_NORM] = (D,)
    return every if tied else every | {HEAD: (V, D)}


def in_layer(layer: int, name: str) -> str:
    """The full name of an array of a layer."""
    return f"model.layers.{layer}.{name}.weight"


def is_ternary(name: str) -> bool:
    """Whether the array of that name is one of the ternary matrices."""
    return name.removesuffix(".weight").endswith(tuple(sum(GROUPS, ())))


def is_norm(name: str) -> bool:
    """Whether the array of that name holds the gains of a norm."""
    norms = (ATTN_NORM, FFN_NORM, *SUB_NORMS, *ONEBITLLM.values(), "model.norm")
    return name.removesuffix(".weight").endswith(norms)


def gguf_name(name: str) -> str:
    """What a GGUF file calls an array."""
    stem = name.removesuffix(".weight")
    inside = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", stem)
    if inside is None:
        return f"{GGUF[stem]}.weight"
    return f"blk.{inside[1]}.{GGUF[inside[2]]}.weight"
