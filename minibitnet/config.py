"""The model's numbers, each with its letter.

A checkpoint is arrays and a page of numbers, ``config.json``, that say how to use them.
This module reads that page, keeps what a forward pass needs, and refuses by name what
the model here cannot do.

Notes
-----
The letters stand for axis sizes everywhere in this package::

    T   tokens now                 L   layers
    S   tokens so far              D   length of a token's vector
    H   query heads                F   length inside the feed-forward
    G   key/value heads            V   vocabulary
    d   length of a head           M x N   a matrix of M outputs and N inputs

Two keys decide what the arrays do not show: ``hidden_act`` (squared ReLU for 2B4T; SiLU
in its place gives fluent nonsense) and ``quantization_config.linear_class`` (whether a
stored ``weight_scale`` multiplies, or divides). A missing key has transformers'
default; so without a ``linear_class`` the scale divides.

References
----------
config.json of microsoft/bitnet-b1.58-2B-4T; Hugging Face transformers,
``configuration_bitnet.py`` and ``BitNetQuantConfig``.

Examples
--------
>>> content = {"hidden_size": 2560, "intermediate_size": 6912, "num_hidden_layers": 30,
...     "num_attention_heads": 20, "num_key_value_heads": 5, "vocab_size": 128256,
...     "hidden_act": "relu2", "rope_theta": 500000.0}
>>> parse_config(content).head_dim
128
>>> parse_config(content).scale_divides
True
>>> parse_config(content | {"hidden_act": "gelu"})
Traceback (most recent call last):
    ...
minibitnet.files.jsonfile.CheckpointError: config.json: hidden_act: expected
relu2 or silu, found 'gelu'
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from minibitnet.files.jsonfile import REQUIRED, Keys

# What the forward pass here does not have, and the values that ask for nothing.
UNSUPPORTED: dict[str, tuple[object, ...]] = {
    "attention_bias": (False,),
    "mlp_bias": (False,),
    "sliding_window": (),
    "embedding_multiplier": (1.0,),
    "residual_multiplier": (1.0,),
    "attention_multiplier": (),
    "logits_scaling": (1.0,),
    "final_logit_softcapping": (),
    "attn_logit_softcapping": (),
    "partial_rotary_factor": (1.0,),
    "pretraining_tp": (1,),
    "input_bits": (8,),
    "weight_bits": (1, 2),
}
UNSUPPORTED_QUANTIZATION: dict[str, tuple[object, ...]] = {
    "quant_method": ("bitnet",),
    "use_rms_norm": (False,),
    "modules_to_not_convert": (["lm_head"],),
}


ROPE_KEYS = {"rope_type", "type", "rope_theta", "partial_rotary_factor"}
# What transformers takes for a missing key, in the body of 2B4T and in that of Llama.
DEFAULTS: dict[str, dict[str, Any]] = {
    "bitnet": {"hidden_act": "relu2", "rms_norm_eps": 1e-5, "rope_theta": 500_000.0},
    "llama": {"hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10_000.0},
}


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
    tie_word_embeddings: bool | None  # None: not said, so the tensors tell
    is_bitnet: bool  # so full-precision weights are masters, to be quantized
    sub_norms: bool  # the two sub-norms of 2B4T must be there
    scale_divides: bool  # a stored weight_scale is 1 / mean(|W|)
    eos_token_ids: frozenset[int]  # generation stops at any of them


def parse_config(
    content: Mapping[str, Any],
    generation: Mapping[str, Any] | None = None,
    where: str = "config.json",
) -> Config:
    """The numbers of a model from its config.json.

    Parameters
    ----------
    content : dict
        What config.json holds.
    generation : dict, optional
        What generation_config.json holds. Its end-of-text ids count too: 2B4T's
        config.json names only one of its two.
    where : str
        The file, for errors.

    Returns
    -------
    config : Config
        The numbers.

    Raises
    ------
    CheckpointError
        If a number is missing or wrong, or asks for what the model cannot do.
    """
    keys = Keys(content, where)
    quantization = keys.inside("quantization_config")
    _refuse(keys, UNSUPPORTED)
    _refuse(quantization, UNSUPPORTED_QUANTIZATION)
    family = f"{content.get('model_type')} {content.get('architectures')}".lower()
    guess = "bitnet" if "'bitnetforcausallm'" in family else "llama"
    body = keys.one_of("model_type", ("bitnet", "llama"), guess)
    defaults = DEFAULTS[body]
    D, H = keys.count("hidden_size"), keys.count("num_attention_heads")
    G = keys.count("num_key_value_heads", H if body == "llama" else REQUIRED)
    if H % G:
        keys.fail("num_key_value_heads", f"a divisor of num_attention_heads {H}", G)
    d = keys.count("head_dim", D // H if D % H == 0 else 0)
    if d % 2:
        keys.fail("head_dim", "an even number", d)
    V = keys.count("vocab_size")
    classes = ("autobitlinear", "bitlinear")
    linear_class = quantization.one_of("linear_class", classes, "bitlinear")
    return Config(
        hidden_size=D,
        intermediate_size=keys.count("intermediate_size"),
        num_hidden_layers=keys.count("num_hidden_layers"),
        num_attention_heads=H,
        num_key_value_heads=G,
        head_dim=d,
        vocab_size=V,
        max_position_embeddings=keys.count("max_position_embeddings", 2048),
        rope_theta=_rope_theta(keys, defaults["rope_theta"]),
        rms_norm_eps=keys.positive("rms_norm_eps", defaults["rms_norm_eps"]),
        hidden_act=keys.one_of("hidden_act", ("relu2", "silu"), defaults["hidden_act"]),
        tie_word_embeddings=keys.flag("tie_word_embeddings"),
        is_bitnet="bitnet" in family or "quant_method" in quantization.content,
        sub_norms="bitnet" in family,
        scale_divides=linear_class == "bitlinear",
        eos_token_ids=keys.ids("eos_token_id", V)
        | Keys(generation or {}, "generation_config.json").ids("eos_token_id", V),
    )


def _refuse(keys: Keys, unsupported: Mapping[str, tuple[object, ...]]) -> None:
    """Refuse a key by name if its value asks for something."""
    for key, harmless in unsupported.items():
        value = keys.get(key, None)
        if value is not None and value not in harmless:
            expected = " or ".join(["nothing", *map(repr, harmless)])
            keys.fail(key, f"{expected} (not supported)", value)


def _rope_theta(keys: Keys, default: float) -> float:
    """Theta, at the top level or in one of RoPE's own objects; no scaling."""
    theta = keys.positive("rope_theta", default)
    for name in ("rope_scaling", "rope_parameters"):
        rope = keys.inside(name)
        kind = rope.get("rope_type", rope.get("type", "default"))
        if kind != "default":
            rope.fail("rope_type", "'default' (RoPE scaling is not supported)", kind)
        _refuse(rope, {"partial_rotary_factor": (1.0,)})
        for key in rope.content.keys() - ROPE_KEYS:
            rope.fail(key, "no such key (not supported)", rope.content[key])
        theta = rope.positive("rope_theta", theta)
    return theta
