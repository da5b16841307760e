"""A GGUF file as a checkpoint: other names, other layouts, the same model.

What a GGUF file says of a model is translated into what config.json would say, and its
tensors into those of a packed checkpoint, by name and by layout. From there on it is
loaded, checked and refused as any checkpoint is.

Notes
-----
A file does not say which activation the model has. Its architecture does::

    bitnet-b1.58, bitnet-25    squared ReLU: 2B4T
    bitnet                     SiLU: the models of 1bitLLM

(a runtime that goes by something else computes 2B4T wrongly and still writes fluently:
microsoft/BitNet issue 588). The scale of a matrix multiplies. In I2_S it is the
unrounded float32 of the converter, where the safetensors file has a bfloat16; in
TQ1_0 and TQ2_0 it is a float16 in every block. So the same model from two kinds of
file has scales that differ in the third digit, and integers that differ with them.

Whatever of the architecture's own metadata is not understood is refused by name, as in
config.json.

References
----------
llama.cpp, gguf-py/gguf/constants.py and src/llama-model.cpp; `minibitnet.files.gguf`.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from minibitnet.arrays import F16, I8, U8
from minibitnet.files.gguf import GGUF, GGUFTensor
from minibitnet.files.jsonfile import (
    REQUIRED,
    CheckpointError,
    CheckpointWarning,
    Keys,
)
from minibitnet.files.progress import progress
from minibitnet.files.tensorfile import Tensor
from minibitnet.formats import i2_s, real_blocks, tq1_0, tq2_0
from minibitnet.packing import pack
from minibitnet.weights import GGUF as NAMES
from minibitnet.weights import is_ternary

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
# Each a head's size; RoPE turns all of it, and keys and values have the same.
HEAD_SIZES = ("rope.dimension_count", "attention.key_length", "attention.value_length")
HARMLESS = {"rope.scaling.type": ("none",), "rope.scaling.factor": (0.0, 1.0)}
ENDS = ("eos_token_id", "eot_token_id", "eom_token_id")
STORED = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
WIDEN = {"Q8_0": real_blocks.widen_q8_0, "Q6_K": real_blocks.widen_q6_k}
Unpack = Callable[[U8, int, int], I8]
BLOCKS: dict[str, tuple[Unpack, Callable[[U8, int, int], F16]]] = {
    "TQ1_0": (tq1_0.unpack, tq1_0.unpack_scales),
    "TQ2_0": (tq2_0.unpack, tq2_0.unpack_scales),
}


def as_packed(gguf: GGUF) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """What config.json and the weights of a directory with this model would hold.

    Raises
    ------
    CheckpointError
        If the file holds another kind of model, or what is not understood.

    Warns
    -----
    CheckpointWarning
        Which activation was assumed.
    """
    content = config_content(gguf)
    if (
        f"{gguf.metadata['general.architecture']}.hidden_activation"
        not in gguf.metadata
    ):
        act = {"relu2": "squared ReLU", "silu": "SiLU"}[content["hidden_act"]]
        note = "does not say which activation it has; by its architecture it is"
        warnings.warn(CheckpointWarning(f"{gguf.file} {note} {act}"), stacklevel=4)
    tensors = {}
    for tensor in progress(list(gguf.tensors.values()), "unpacking"):
        for made in translate(tensor):
            tensors[made.name] = made
    return content, tensors


def config_content(gguf: GGUF) -> dict[str, Any]:
    """What config.json would say."""
    metadata = Keys({k: plain(v) for k, v in gguf.metadata.items()}, str(gguf.file))
    arch = metadata.one_of("general.architecture", tuple(ACTIVATIONS))
    content = {
        "model_type": "bitnet",
        "hidden_act": ACTIVATIONS[arch],
        "tie_word_embeddings": f"{NAMES['lm_head']}.weight" not in gguf.tensors,
        "vocab_size": len(metadata.get("tokenizer.ggml.tokens", [])),
        "quantization_config": {
            "quant_method": "bitnet",
            "linear_class": "autobitlinear",
        },
    }
    content |= own_keys(metadata, arch)
    if content["hidden_act"] != ACTIVATIONS[arch]:
        expected = f"{ACTIVATIONS[arch]}, as the architecture says"
        metadata.fail(f"{arch}.hidden_activation", expected, content["hidden_act"])
    if "rope_theta" not in content:  # the two kinds of model have different ones
        metadata.fail(f"{arch}.rope.freq_base", "a number", REQUIRED)
    ends = [metadata.get(f"tokenizer.ggml.{end}", None) for end in ENDS]
    content["eos_token_id"] = [end for end in ends if end is not None]
    return content


def own_keys(metadata: Keys, arch: str) -> dict[str, Any]:
    """The architecture's own metadata in the words of config.json."""
    content: dict[str, Any] = {}
    own = {k: v for k, v in metadata.content.items() if k.startswith(f"{arch}.")}
    for key, value in own.items():
        name = key.removeprefix(f"{arch}.")
        if name in KEYS:
            content[KEYS[name]] = value
        elif name in HEAD_SIZES:
            if content.setdefault("head_dim", value) != value:
                metadata.fail(key, f"{content['head_dim']}, as the others say", value)
        elif value not in HARMLESS.get(name, ()):
            metadata.fail(key, "no such key (not supported)", value)
    return content


def plain(value: Any) -> Any:
    """A value of metadata as JSON has it."""
    return value.tolist() if isinstance(value, np.ndarray) else value


def translate(tensor: GGUFTensor) -> list[Tensor]:
    """The tensor, or the codes and the scale, that a packed checkpoint has."""
    name = hub_name(tensor.name)
    if tensor.type in STORED:
        array = tensor.data.view(STORED[tensor.type]).reshape(tensor.shape)
        return [Tensor(tensor.file, name, tensor.type, array)]
    if len(tensor.shape) != 2:
        raise refusal(tensor, "two axes", tensor.shape)
    M, N = tensor.shape
    try:
        if tensor.type in WIDEN:
            values = WIDEN[tensor.type](tensor.data, M, N)
            return [Tensor(tensor.file, name, "F32", values)]
        w_codes, w_scale = unpack(tensor, M, N)
    except ValueError as error:
        raise refusal(tensor, f"{tensor.type} of {tensor.shape}", error) from None
    if not is_ternary(name):
        raise refusal(tensor, "floats", tensor.type)
    return [
        Tensor(tensor.file, name, "U8", pack(w_codes)),
        Tensor(tensor.file, f"{name}_scale", "F32", np.array([w_scale], np.float32)),
    ]


def unpack(tensor: GGUFTensor, M: int, N: int) -> tuple[I8, np.float32]:
    """Codes (M, N) and the scale of a ternary matrix; a ValueError if it is none."""
    if tensor.type == "I2_S":
        return i2_s.unpack(tensor.data, M, N), i2_s.unpack_scale(tensor.data)
    unpack_codes, unpack_scales = BLOCKS[tensor.type]
    scales = unpack_scales(tensor.data, M, N)
    used = np.unique(scales[scales != 0])
    if len(used) > 1:
        raise ValueError(f"{len(used)} different scales")
    w_codes = unpack_codes(tensor.data, M, N)
    if w_codes.reshape(-1, 256)[scales.reshape(-1) == 0].any():
        raise ValueError("a block of a scale 0 with codes that are not")
    return w_codes, np.float32(used[0]) if len(used) else np.float32(1)


def hub_name(name: str) -> str:
    """What safetensors files call a tensor; unknown names stay as they are."""
    head, dot, kind = name.rpartition(".")
    names = {gguf: hub for hub, gguf in NAMES.items()}
    match head.split("."):
        case [known] if known in names and dot:
            return f"{names[known]}.{kind}"
        case ["blk", layer, known] if known in names and layer.isdecimal():
            return f"model.layers.{int(layer)}.{names[known]}.{kind}"
    return name


def refusal(tensor: GGUFTensor, expected: str, found: object) -> CheckpointError:
    """What is wrong with a tensor."""
    return CheckpointError(
        f"{tensor.file}: {tensor.name}: expected {expected}, found {found}"
    )
