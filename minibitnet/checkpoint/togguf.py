"""A model's numbers as the metadata of a GGUF file.

It is `minibitnet.checkpoint.fromgguf` the other way round, and says what the published
file of 2B4T leaves out, so that whoever looks can compute and write what the model was
trained to::

    ARCH.hidden_activation      relu2 or silu; no guess by the architecture's name
    tokenizer.ggml.pre          llama-bpe: how a text is split before it is merged
    tokenizer.ggml.eot_token_id the second of the two ends: a turn's
    tokenizer.chat_template     the model's own

Notes
-----
`as_published` takes all that away again and puts in what the converter of the published
file put there: for whoever wants to see a program meet that file. The keys, their order
and their values are then those on record; the header comes out as long as that of
the published file, 8,351,360 bytes.

References
----------
ikawrakow/ik_llama.cpp issue 365 and microsoft/BitNet issue 373, where a program prints
the metadata of the published file.

Examples
--------
>>> from minibitnet.checkpoint.configfile import parse_config
>>> from minibitnet.files.published import CONFIG
>>> numbers = config_metadata(parse_config(CONFIG), "I2_S")
>>> numbers["bitnet-b1.58.hidden_activation"], numbers["general.file_type"]
('relu2', 40)
"""

from collections.abc import Mapping
from typing import Any

from minibitnet.checkpoint.ggufkeys import ACTIVATIONS
from minibitnet.checkpoint.gguftokenizer import PLACEHOLDER
from minibitnet.config import Config

# What a program is told of a file as a whole; 40 is bitnet.cpp's.
FILE_TYPES = {"I2_S": 40, "TQ1_0": 36, "TQ2_0": 37}
ARCHITECTURE = {act: arch for arch, act in reversed(ACTIVATIONS.items())}
PUBLISHED_KEYS = """
general.architecture general.name bitnet-b1.58.vocab_size bitnet-b1.58.context_length
bitnet-b1.58.embedding_length bitnet-b1.58.block_count bitnet-b1.58.feed_forward_length
bitnet-b1.58.rope.dimension_count bitnet-b1.58.attention.head_count
bitnet-b1.58.attention.head_count_kv tokenizer.ggml.add_bos_token
bitnet-b1.58.attention.layer_norm_rms_epsilon bitnet-b1.58.rope.freq_base
general.file_type tokenizer.ggml.model tokenizer.ggml.tokens tokenizer.ggml.scores
tokenizer.ggml.token_type tokenizer.ggml.merges tokenizer.ggml.bos_token_id
tokenizer.ggml.eos_token_id tokenizer.ggml.padding_token_id tokenizer.chat_template
general.quantization_version
""".split()
PLACEHOLDER_TEMPLATE = (
    "{% for message in messages %}{% if loop.first %}{{ bos_token }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ 'Human: ' + message['content'] + "
    f"'\\n\\n{PLACEHOLDER}: ' + eos_token }}}}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}"
    "{% endif %}{% endfor %}"
)


def config_metadata(config: Config, type_: str) -> dict[str, Any]:
    """What a file says of a model with matrices of this type, but for the tokenizer."""
    arch = ARCHITECTURE[config.hidden_act]
    own = {
        "vocab_size": config.vocab_size,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "rope.dimension_count": config.head_dim,
        "attention.key_length": config.head_dim,
        "attention.value_length": config.head_dim,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "rope.freq_base": config.rope_theta,
        "hidden_activation": config.hidden_act,
    }
    return {
        "general.architecture": arch,
        **{f"{arch}.{key}": value for key, value in own.items()},
        "general.file_type": FILE_TYPES[type_],
        "general.quantization_version": 2,
    }


def as_published(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata with which 2B4T was published; a ValueError if it is no such model.

    Among them are no activation, no way to split a text, and one end of two.
    """
    end = metadata.get("tokenizer.ggml.eos_token_id")
    known = dict(metadata) | {
        "general.name": "bitnet2b",
        "tokenizer.ggml.scores": [0.0] * len(metadata.get("tokenizer.ggml.tokens", [])),
        "tokenizer.ggml.padding_token_id": end,
        "tokenizer.chat_template": PLACEHOLDER_TEMPLATE,
    }
    missing = [key for key in PUBLISHED_KEYS if known.get(key) is None]
    if missing:
        expected = "a model with squared ReLU and a tokenizer as 2B4T has them"
        raise ValueError(f"as published: expected {expected}, found no {missing[0]}")
    return {key: known[key] for key in PUBLISHED_KEYS}
