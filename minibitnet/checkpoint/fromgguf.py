"""A GGUF file as a checkpoint: other names, other layouts, the same model.

What a GGUF file says of a model is translated into what config.json would say, and its
tensors into those of a packed checkpoint, by name and by layout. From there on it is
loaded, checked and refused as any checkpoint is.

Notes
-----
The scale of a matrix multiplies. In I2_S it is the unrounded float32 of the converter,
where the safetensors file has a bfloat16; in TQ1_0 and TQ2_0 it is a float16 in every
block. So the same model from two kinds of file has scales that differ in the third
digit, and integers that differ with them.

References
----------
llama.cpp, gguf-py/gguf/constants.py; `minibitnet.checkpoint.ggufkeys` has what the file
says of the model, `minibitnet.files.gguf` how it is laid out.
"""

import warnings
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np

from minibitnet.arrays import F16, F32, I8, U8
from minibitnet.checkpoint.ggufkeys import config_content
from minibitnet.files.gguf import GGUF, TAIL, GGUFTensor
from minibitnet.files.jsonfile import CheckpointError, CheckpointWarning
from minibitnet.files.tensorfile import Tensor, mapped
from minibitnet.formats import i2_s, real_blocks, tq1_0, tq2_0
from minibitnet.kernels.memory import let_go
from minibitnet.packing import CODES_PER_BYTE, pack
from minibitnet.weights import EMBEDDING, HEAD, is_ternary
from minibitnet.weights import GGUF as NAMES

HUB_NAMES = {gguf: hub for hub, gguf in NAMES.items()}
STORED = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
WIDEN: dict[str, Callable[[U8, int, int, str], F32]] = {
    "Q8_0": lambda data, M, N, _: real_blocks.widen_q8_0(data, M, N),
    "Q6_K": lambda data, M, N, _: real_blocks.widen_q6_k(data, M, N),
}
BLOCK = 256  # weights with a scale of their own in TQ1_0 and TQ2_0
Unpack = Callable[[U8, int, int], I8]
Scales = Callable[[U8, int, int], F16 | F32]
TERNARY: dict[str, tuple[Unpack, Scales]] = {
    "I2_S": (i2_s.unpack, lambda data, M, N: i2_s.unpack_scale(data).reshape(1)),
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
        Which activation was assumed, and whether floats are made ternary.
    """
    content = config_content(gguf)
    for note in notes(gguf, content["hidden_act"]):
        warnings.warn(CheckpointWarning(f"{gguf.file} {note}"), stacklevel=4)
    tensors = {}
    for tensor in gguf.tensors.values():
        for made in translate(tensor):
            tensors[made.name] = made
    return content, tensors


def notes(gguf: GGUF, activation: str) -> Iterator[str]:
    """What is assumed of a file that does not say."""
    if (
        f"{gguf.metadata['general.architecture']}.hidden_activation"
        not in gguf.metadata
    ):
        act = {"relu2": "squared ReLU", "silu": "SiLU"}[activation]
        yield ("does not say which activation it has; by its architecture it is " + act)
    names = (hub_name(t.name) for t in gguf.tensors.values() if t.type in STORED)
    if any(name and is_ternary(name) for name in names):
        yield (
            "has matrices of floats; they are made ternary, as its architecture's are "
            "(llama.cpp would compute with the floats)"
        )


def translate(tensor: GGUFTensor) -> list[Tensor]:
    """The tensor, or the codes and the scale, that a packed checkpoint has.

    What is not stored as it is used is made when somebody looks at it.
    """
    file, name, type_ = tensor.file, hub_name(tensor.name), tensor.type
    if name is None:
        raise refusal(tensor, "no such tensor in this model", "one")
    if type_ in STORED:
        array = tensor.data.view(STORED[type_]).reshape(tensor.shape)
        return [mapped(file, name, type_, array)]
    if len(tensor.shape) != 2:
        raise refusal(tensor, "two axes", tensor.shape)
    M, N = tensor.shape
    nbytes = tensor.data.nbytes
    if type_ in WIDEN and name in (EMBEDDING, HEAD):
        values = partial(unpack, tensor, WIDEN[type_])
        return [Tensor(file, name, "F32", (M, N), nbytes, values, type_)]
    if type_ in WIDEN or not is_ternary(name):
        expected = "a ternary matrix or its master" if is_ternary(name) else "floats"
        raise refusal(tensor, expected, type_)
    tail = TAIL if type_ == "I2_S" else 2 * (M * N // BLOCK)
    packed, scale = (
        partial(unpack, tensor, pack_again),
        partial(unpack, tensor, scale_of),
    )
    R = -(-M // CODES_PER_BYTE)
    return [
        Tensor(file, name, "U8", (R, N), nbytes - tail, packed, type_),
        Tensor(file, f"{name}_scale", "F32", (1,), tail, scale, type_),
    ]


def unpack(tensor: GGUFTensor, how: Callable[..., Any]) -> Any:
    """What is made of a tensor's bytes; a CheckpointError if they are not sound."""
    try:
        return how(tensor.data, *tensor.shape, tensor.type)
    except ValueError as error:
        expected = f"{tensor.type} of {tensor.shape}"
        raise refusal(tensor, expected, error) from None
    finally:
        let_go(tensor.data)  # what was made of it is used


def pack_again(data: U8, M: int, N: int, type_: str) -> U8:
    """A ternary matrix as safetensors files pack it: data (n,) -> packed (R, N)."""
    unpack_codes, unpack_scales = TERNARY[type_]
    w_codes = unpack_codes(data, M, N)
    without = unpack_scales(data, M, N).reshape(-1) == 0
    if type_ != "I2_S" and w_codes.reshape(-1, BLOCK)[without].any():
        raise ValueError("a block of a scale 0 with codes that are not")
    return pack(w_codes)


def scale_of(data: U8, M: int, N: int, type_: str) -> F32:
    """The one scale of a ternary matrix: data (n,) -> w_scale (1,).

    Blocks of zeros have a scale 0. Where there are no others, any scale will do.
    """
    _, unpack_scales = TERNARY[type_]
    scales = unpack_scales(data, M, N).astype(np.float32).reshape(-1)
    used = np.unique(scales if type_ == "I2_S" else scales[scales != 0])
    if len(used) > 1:
        raise ValueError(f"{len(used)} different scales")
    return used if len(used) else np.ones(1, np.float32)


def hub_name(name: str) -> str | None:
    """What safetensors files call a tensor; None if this architecture has none such."""
    match name.split("."):
        case [known, "weight"] if known in HUB_NAMES:
            return f"{HUB_NAMES[known]}.weight"
        case ["blk", layer, known, "weight"] if known in HUB_NAMES:
            if layer.isdecimal() and layer == str(int(layer)):  # 00 is not 0
                return f"model.layers.{layer}.{HUB_NAMES[known]}.weight"
    return None


def refusal(tensor: GGUFTensor, expected: str, found: object) -> CheckpointError:
    """What is wrong with a tensor."""
    return CheckpointError(
        f"{tensor.file}: {tensor.name}: expected {expected}, found {found}"
    )
