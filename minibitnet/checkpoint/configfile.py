"""config.json: the model's numbers, and what the file says of itself.

A checkpoint is arrays and a page of JSON that says how to use them. Some of the keys
are numbers of the model (`minibitnet.config`). Others describe the file: whether the
head is another array than the embedding, whether full-precision weights are masters to
be made ternary, which way a stored scale acts. All are read here, and what the model
cannot do, or what is not known (`minibitnet.checkpoint.configkeys`), is refused by
name.

Notes
-----
``quantization_config.linear_class`` decides what no array shows: with ``autobitlinear``
(2B4T) a stored ``weight_scale`` is the mean of the weights' magnitudes and multiplies;
with ``bitlinear`` it is the reciprocal and divides. Where ``quant_method`` is
``bitnet``, a missing ``linear_class`` has transformers' default, ``bitlinear``. In its
first days 2B4T had ``offline_quantization`` in its place, which means autobitlinear;
transformers, which has forgotten that key, would divide. If nothing is said, packed
matrices are refused.

References
----------
config.json of microsoft/bitnet-b1.58-2B-4T; Hugging Face transformers,
``configuration_bitnet.py`` and ``BitNetQuantConfig``.

Examples
--------
>>> content = {"model_type": "bitnet", "hidden_size": 2560, "intermediate_size": 6912,
...     "num_hidden_layers": 30, "num_attention_heads": 20, "num_key_value_heads": 5,
...     "vocab_size": 128256, "quantization_config": {"quant_method": "bitnet"}}
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

from minibitnet.checkpoint.configkeys import refuse_others, refuse_unknown
from minibitnet.config import Config
from minibitnet.files.jsonfile import REQUIRED, Keys

# What RoPE's own object may say besides theta; any other key asks for scaling.
ROPE_LIMITED: dict[str, tuple[object, ...]] = {"partial_rotary_factor": (1.0,)}
ONLY_DEFAULT = "'default' (RoPE scaling is not supported)"
BITNET = ("BitNetForCausalLM", "BitnetForCausalLM")  # the latter 1bitLLM's
ARCHITECTURES = (*BITNET, "LlamaForCausalLM")
LINEAR_CLASSES = ("autobitlinear", "bitlinear")
# Beyond these, roots and frequencies would leave float32.
LEAST_EPS, LARGEST_EPS = 1e-30, 1.0
LEAST_THETA, LARGEST_THETA = 1.0, 1e30
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
    masters_said: bool  # and config.json says so itself
    scale_divides: bool | None  # a stored weight_scale is 1 / mean(|W|); None: not said


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
    refuse_unknown(keys)
    _refuse_other_layers(keys)
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
        rms_norm_eps=keys.number(
            "rms_norm_eps", LEAST_EPS, LARGEST_EPS, defaults["rms_norm_eps"]
        ),
        hidden_act=keys.one_of("hidden_act", ("relu2", "silu"), defaults["hidden_act"]),
        eos_token_ids=tuple(dict.fromkeys(keys.ids("eos_token_id", V) + ends)),
    )


def parse_stored(content: Mapping[str, Any], where: str = "config.json") -> Stored:
    """What config.json says of the file; a CheckpointError if it cannot be."""
    keys = Keys(content, where)
    quantization = keys.inside("quantization_config")
    _architecture(keys)
    is_bitnet = _names_bitnet(content)
    is_quantized = quantization.get("quant_method", None) is not None
    return Stored(
        tied=keys.flag("tie_word_embeddings"),
        masters=is_bitnet or is_quantized,
        masters_said=quantization.get("quantization_mode", None) == "online"
        or keys.get("weight_bits", None) is not None,
        sub_norms=is_bitnet,
        scale_divides=_scale_divides(quantization),
    )


def _scale_divides(quantization: Keys) -> bool | None:
    """Whether a stored scale divides; None if nothing says which way it goes."""
    default = "bitlinear" if quantization.get("quant_method", None) else None
    early = quantization.flag("offline_quantization")
    if early is False:
        quantization.fail("offline_quantization", "true", early)
    if early:
        default = "autobitlinear"
    found = quantization.get("linear_class", default)
    if found is None:
        return None
    if early and found != default:
        quantization.fail("linear_class", f"{default} (offline_quantization)", found)
    return quantization.one_of("linear_class", LINEAR_CLASSES, default) == "bitlinear"


def _architecture(keys: Keys) -> str:
    """``"bitnet"`` or ``"llama"``: whose defaults hold for missing keys."""
    names = keys.get("architectures", [])
    if not isinstance(names, list) or any(name not in ARCHITECTURES for name in names):
        keys.fail("architectures", f"names among {', '.join(ARCHITECTURES)}", names)
    guess: Any = REQUIRED
    if names:
        guess = "bitnet" if "BitNetForCausalLM" in names else "llama"
    return keys.one_of("model_type", ("bitnet", "llama"), guess)


def _names_bitnet(content: Mapping[str, Any]) -> bool:
    """Whether the model is called BitNet, in either of the two keys that say so."""
    names = content.get("architectures") or []
    return content.get("model_type") == "bitnet" or not {*BITNET}.isdisjoint(names)


def _refuse_other_layers(keys: Keys) -> None:
    """Refuse layers that do not all attend to all tokens."""
    kinds = keys.get("layer_types", [])
    if not isinstance(kinds, list) or any(kind != "full_attention" for kind in kinds):
        keys.fail("layer_types", "'full_attention' alone (not supported)", kinds)


def _rope_theta(keys: Keys, default: float) -> float:
    """Theta, at the top level or in one of RoPE's own objects; no scaling."""
    theta = keys.number("rope_theta", LEAST_THETA, LARGEST_THETA, default)
    for name in ("rope_scaling", "rope_parameters"):
        rope = keys.inside(name)
        for key in ("rope_type", "type"):
            if rope.get(key, "default") != "default":
                rope.fail(key, ONLY_DEFAULT, rope.content[key])
        refuse_others(rope, {"rope_theta", "rope_type", "type"}, ROPE_LIMITED)
        theta = rope.number("rope_theta", LEAST_THETA, LARGEST_THETA, theta)
    return theta
