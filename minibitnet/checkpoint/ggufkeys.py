"""What a GGUF file says of a model, in the words of config.json.

Notes
-----
A file does not say which activation the model has. Its architecture does::

    bitnet-b1.58, bitnet-25    squared ReLU: 2B4T
    bitnet                     SiLU: the models of 1bitLLM

A runtime that goes by something else computes 2B4T wrongly and still writes fluently
(microsoft/BitNet issue 588).

Whatever of the architecture's own metadata is not understood is refused by name, as in
config.json.

References
----------
llama.cpp, gguf-py/gguf/constants.py and src/llama-model.cpp; ggml, docs/gguf.md.
"""

from typing import Any

import numpy as np

from minibitnet.files.gguf import GGUF
from minibitnet.files.jsonfile import REQUIRED, Keys
from minibitnet.weights import GGUF as NAMES

ACTIVATIONS = {"bitnet-b1.58": "relu2", "bitnet-25": "relu2", "bitnet": "silu"}
KEYS = {  # of the architecture, in the words of config.json
    "vocab_size": "vocab_size",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "block_count": "num_hidden_layers",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta",
    "hidden_activation": "hidden_act",
}
# What nothing else in a file says, or others would assume otherwise
REQUIRED_KEYS = (
    *("context_length", "embedding_length", "block_count", "feed_forward_length"),
    *("attention.head_count", "attention.layer_norm_rms_epsilon", "rope.freq_base"),
)
# Each a head's size; RoPE turns all of it, and keys and values have the same.
HEAD_SIZES = ("rope.dimension_count", "attention.key_length", "attention.value_length")
HARMLESS = {  # linear by a factor of 1 scales nothing; any other factor is refused
    "rope.scaling.type": ("none", "linear"),
    "rope.scaling.factor": (0.0, 1.0),
}
ENDS = ("eos_token_id", "eot_token_id", "eom_token_id")  # of a text, a turn, a message


def config_content(gguf: GGUF) -> dict[str, Any]:
    """What config.json would say."""
    metadata = Keys({k: plain(v) for k, v in gguf.metadata.items()}, str(gguf.file))
    if (parts := metadata.get("split.count", 1)) != 1:
        whole = "all of a model in one file (llama-gguf-split --merge makes it)"
        metadata.fail("split.count", whole, f"a part of {parts}")
    arch = metadata.one_of("general.architecture", tuple(ACTIVATIONS))
    content = {
        "model_type": "bitnet",
        "tie_word_embeddings": f"{NAMES['lm_head']}.weight" not in gguf.tensors,
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
            "quantization_mode": "online",  # where they are floats, which `notes` says
        },
    }
    content |= own_keys(metadata, arch)
    for name in REQUIRED_KEYS:
        if KEYS[name] not in content:
            metadata.fail(f"{arch}.{name}", "a number", REQUIRED)
    if "vocab_size" not in content:
        expected = f"it or {arch}.vocab_size"
        metadata.fail("tokenizer.ggml.tokens", expected, REQUIRED)
    # "If not present, the model does not use GQA": ggml's docs/gguf.md
    content.setdefault("num_key_value_heads", content["num_attention_heads"])
    ends = [metadata.get(f"tokenizer.ggml.{end}", None) for end in ENDS]
    content["eos_token_id"] = [end for end in ends if end is not None]
    return content


def expected_values(metadata: Keys, arch: str) -> dict[str, Any]:
    """What other parts of a file say of what the architecture may say, too."""
    tokens = metadata.get("tokenizer.ggml.tokens", None)
    counted = {"vocab_size": len(tokens)} if isinstance(tokens, list) else {}
    return {"hidden_act": ACTIVATIONS[arch], **counted}


def own_keys(metadata: Keys, arch: str) -> dict[str, Any]:
    """The architecture's own metadata in the words of config.json."""
    content = expected_values(metadata, arch)
    own = {k: v for k, v in metadata.content.items() if k.startswith(f"{arch}.")}
    for key, value in own.items():
        name = key.removeprefix(f"{arch}.")
        word = "head_dim" if name in HEAD_SIZES else KEYS.get(name)
        if word is None:
            if value not in HARMLESS.get(name, ()):
                metadata.fail(key, "no such key (not supported)", value)
        elif content.setdefault(word, value) != value:
            metadata.fail(key, f"{content[word]}, as the rest of the file says", value)
    return content


def plain(value: Any) -> Any:
    """A value of metadata as JSON has it."""
    return value.tolist() if isinstance(value, np.ndarray) else value
