"""A small model in which nothing is what a port may take for granted.

Random weights, every size another number and none a multiple of 5, 32 or 128, most no
multiple of 4; four query heads to a key/value head; heads that are not D / H long;
another theta and eps than 2B4T; and a second end-of-text id that only
generation_config.json names. It has a tokenizer of its own: the 256 bytes, thirteen
merges, and two words that no merges make.

Notes
-----
All numbers are drawn by `minibitnet.golden.draws`, so the files are the same bytes on
every machine.

Examples
--------
>>> TOKENS[256:259], MERGES[2]
(['th', 'in', 'Ġth'], ('Ġ', 'th'))
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet import bf16
from minibitnet.arrays import F32
from minibitnet.checkpoint.configfile import parse_config, parse_stored
from minibitnet.checkpoint.synth import tensor_specs
from minibitnet.files.published import CHAT_TEMPLATE, CONFIG
from minibitnet.files.tensorfile import WEIGHTS, write_tensors
from minibitnet.files.tensorheader import Spec
from minibitnet.golden.draws import draw
from minibitnet.text.tokenizerfile import LETTERS
from minibitnet.text.tokenizerpage import tokenizer_page
from minibitnet.tokenizer import BEGIN_OF_TEXT, END_OF_TEXT, END_OF_TURN
from minibitnet.weights import ATTN_NORM, is_norm

MERGES = [
    *[("t", "h"), ("i", "n"), ("Ġ", "th"), ("Ġth", "e"), ("a", "n"), ("an", "d")],
    *[("Ġ", "a"), ("e", "r"), ("Ġa", "n"), ("o", "u"), ("h", "e"), ("1", "2")],
    ("3", "4"),  # which stand together only if numbers are not split by threes
]
WORDS = ["Ġfox", "end"]  # in the vocabulary, so they are tokens
TOKENS = [*(LETTERS[byte] for byte in range(256)), *map("".join, MERGES), *WORDS]
SPECIAL = (BEGIN_OF_TEXT, END_OF_TEXT, END_OF_TURN)
BOS, END, TURN = range(len(TOKENS), len(TOKENS) + len(SPECIAL))
QUIRKY: dict[str, Any] = CONFIG | {
    "hidden_size": 42,
    "intermediate_size": 78,
    "num_hidden_layers": 2,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "vocab_size": TURN + 1,
    "max_position_embeddings": 256,
    "rope_theta": 1234.5,
    "rms_norm_eps": 3e-6,
    "bos_token_id": BOS,
    "eos_token_id": END,
}

# All that other models have otherwise: no sub-norms, SiLU, a head of its own, scales
# that divide; and one layer, and heads without groups.
LLAMA: dict[str, Any] = QUIRKY | {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "num_hidden_layers": 1,
    "num_key_value_heads": 8,
    "rope_theta": 10000.0,
    "tie_word_embeddings": False,
    "quantization_config": {"quant_method": "bitnet", "linear_class": "bitlinear"},
}


def write_quirky(directory: Path, config: dict[str, Any] = QUIRKY) -> Path:
    """Write a model and its tokenizer; returns the directory."""
    directory.mkdir(parents=True, exist_ok=True)
    specs = tensor_specs(parse_config(config), parse_stored(config))
    seeds = {name: 1000 + i for i, name in enumerate(sorted(specs))}

    def make(name: str) -> Iterator[NDArray[Any]]:
        yield random_array(name, specs[name], seeds[name])

    write_tensors(directory / WEIGHTS, specs, make)
    contents = {
        "config.json": config,
        "generation_config.json": {"eos_token_id": [END, TURN]},
        "tokenizer_config.json": {
            "bos_token": BEGIN_OF_TEXT,
            "chat_template": CHAT_TEMPLATE,
        },
        "tokenizer.json": tokenizer(),
    }
    for name, content in contents.items():
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        (directory / name).write_bytes(text.encode())  # no other line ends on Windows
    return directory


def random_array(name: str, spec: Spec, seed: int) -> NDArray[Any]:
    """The numbers of an array, by what its name says it is."""
    if spec.dtype == "U8":
        return draw("packed", seed, spec.shape)
    values: F32 = draw("floats", seed, spec.shape)
    if name.endswith("weight_scale"):
        values = values + np.float32(2)
    elif is_norm(name):  # small before q and k, so that softmax sees several tokens
        size = 0.1 if ATTN_NORM in name else 1
        values = (values + np.float32(2)) * np.float32(size)
    return bf16.narrow(values)


def tokenizer() -> dict[str, Any]:
    """What tokenizer.json says."""
    added = [(BOS + i, content, True) for i, content in enumerate(SPECIAL)]
    vocabulary = {token: i for i, token in enumerate(TOKENS)}
    merges = [list(pair) for pair in MERGES]
    return tokenizer_page(vocabulary, merges, added, (BOS, BEGIN_OF_TEXT))
