"""config.json: the model's numbers, and what the file says of itself.

A checkpoint is arrays and a page of JSON that says how to use them. Some of the keys
are numbers of the model (`minibitnet.config`). Others describe the file: whether the
head is another array than the embedding, whether full-precision weights are masters to
be made ternary, which way a stored scale acts. All are read here, and what the model
cannot do is refused by name.

Notes
-----
``quantization_config.linear_class`` decides what no array shows: with ``autobitlinear``
(2B4T) a stored ``weight_scale`` is the mean of the weights' magnitudes and multiplies;
with ``bitlinear`` it is the reciprocal and divides. A missing key has transformers'
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
>>> parse_stored(content).scale_divides
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

from minibitnet.config import Config
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
# What RoPE's own object may say; any other key asks for scaling.
ROPE_KEYS = {"rope_type", "type", "rope_theta", "partial_rotary_factor"}
# What transformers takes for a missing key, for 2B4T and for Llama.
DEFAULTS: dict[str, dict[str, Any]] = {
    "bitnet": {"hidden_act": "relu2", "rms_norm_eps": 1e-5, "rope_theta": 500_000.0},
    "llama": {"hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 10_000.0},
}


@dataclass(frozen=True)
class Stored:
    """How a checkpoint stores its model: what is said of the file, not of the model."""

    tied: bool | None  # the head is the embedding; None: not said, the tensors tell
    masters: bool  # full-precision matrices are masters, to be made ternary
    sub_norms: bool  # the two sub-norms of 2B4T must be there
    scale_divides: bool  # a stored weight_scale is 1 / mean(|W|)


def parse_config(
    content: Mapping[str, Any],
    generation: Mapping[str, Any] | None = None,
    where: str = "config.json",
) -> Config:
    """The numbers of a model.

    Parameters
    ----------
    content : dict
        What config.json holds.
    generation : dict, optional
        What generation_config.json holds. Its end-of-text ids count too: 2B4T's
        config.json names only one of its two.
    where : str
        The file, for errors.

    Raises
    ------
    CheckpointError
        If a number is missing or wrong, or asks for what the model cannot do.
    """
    keys = Keys(content, where)
    _refuse(keys, UNSUPPORTED)
    _refuse(keys.inside("quantization_config"), UNSUPPORTED_QUANTIZATION)
    body = _architecture(keys)
    defaults = DEFAULTS[body]
    D, H = keys.count("hidden_size"), keys.count("num_attention_heads")
    G = keys.count("num_key_value_heads", H if body == "llama" else REQUIRED)
    if H % G:
        keys.fail("num_key_value_heads", f"a divisor of num_attention_heads {H}", G)
    d = keys.count("head_dim", D // H if D % H == 0 else 0)
    if d % 2:
        keys.fail("head_dim", "an even number", d)
    V = keys.count("vocab_size")
    ends = Keys(generation or {}, "generation_config.json").ids("eos_token_id", V)
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
        eos_token_ids=tuple(dict.fromkeys(keys.ids("eos_token_id", V) + ends)),
    )


def parse_stored(content: Mapping[str, Any], where: str = "config.json") -> Stored:
    """What config.json says of the file; a CheckpointError if it cannot be."""
    keys = Keys(content, where)
    quantization = keys.inside("quantization_config")
    _architecture(keys)
    is_bitnet = _names_bitnet(content)
    classes = ("autobitlinear", "bitlinear")
    linear_class = quantization.one_of("linear_class", classes, "bitlinear")
    return Stored(
        tied=keys.flag("tie_word_embeddings"),
        masters=is_bitnet or "quant_method" in quantization.content,
        sub_norms=is_bitnet,
        scale_divides=linear_class == "bitlinear",
    )


def _architecture(keys: Keys) -> str:
    """``"bitnet"`` or ``"llama"``: whose defaults hold for missing keys."""
    names = keys.content.get("architectures")
    is_bitnet = isinstance(names, list) and "BitNetForCausalLM" in names
    guess = "bitnet" if is_bitnet else "llama"
    return keys.one_of("model_type", ("bitnet", "llama"), guess)


def _names_bitnet(content: Mapping[str, Any]) -> bool:
    """Whether the model is called BitNet, in either of the two keys that say so."""
    family = f"{content.get('model_type')} {content.get('architectures')}"
    return "bitnet" in family.lower()


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
