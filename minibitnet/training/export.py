"""From trained masters to a checkpoint, in both forms that 2B4T has.

The packed form is what a model is used as: two bits a weight. The masters in bfloat16
are what training can go on from, and what other programs round for themselves.

Notes
-----
The masters are rounded to bfloat16 first, and the codes are those of the rounded
masters: so both forms load to the same model. ``weight_scale`` is kept as float32, not
bfloat16 as in 2B4T, for the same reason: a reader of the masters computes it to that
precision.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from minibitnet import bf16
from minibitnet.absmean import quantize_weights
from minibitnet.arrays import U16
from minibitnet.files.tensorfile import WEIGHTS, spec_of, write_tensors
from minibitnet.files.writing import CONFIG_FILE, write_json
from minibitnet.packing import pack
from minibitnet.training.network import Parameters
from minibitnet.training.vocabulary import save_vocabulary
from minibitnet.weights import is_ternary

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MASTERS = "master"


def export(
    parameters: Parameters,
    content: Mapping[str, Any],
    inner: "Tokenizer",
    directory: Path,
) -> None:
    """Write both, each with the tokenizer; the masters into a directory inside."""
    export_packed(parameters, content, directory)
    export_masters(parameters, content, directory / MASTERS)
    save_vocabulary(inner, directory)
    save_vocabulary(inner, directory / MASTERS)


def export_packed(
    parameters: Parameters, content: Mapping[str, Any], directory: Path
) -> None:
    """Write a checkpoint of packed codes and scales; `content` is its config.json.

    A ValueError if a parameter is not finite.
    """
    arrays: dict[str, NDArray[Any]] = dict(_masters(parameters))
    for name in parameters:
        if is_ternary(name):
            w_codes, w_scale = quantize_weights(bf16.widen(arrays[name]))
            arrays[name] = pack(w_codes)
            arrays[f"{name}_scale"] = np.array([w_scale])
    _write(arrays, content, "offline", directory)


def export_masters(
    parameters: Parameters, content: Mapping[str, Any], directory: Path
) -> None:
    """Write a checkpoint of masters in bfloat16; `content` is its config.json.

    A ValueError if a parameter is not finite.
    """
    _write(_masters(parameters), content, "online", directory)


def _masters(parameters: Parameters) -> dict[str, U16]:
    """The parameters in bfloat16."""
    for name, master in parameters.items():
        if not np.isfinite(master).all():
            raise ValueError(f"{name} must be finite, got NaN or infinity")
    return {name: bf16.narrow(master) for name, master in parameters.items()}


def _write(
    arrays: Mapping[str, NDArray[Any]],
    content: Mapping[str, Any],
    mode: str,
    directory: Path,
) -> None:
    """Write the arrays, and config.json, which says when weights are quantized."""
    quantization = content["quantization_config"] | {"quantization_mode": mode}
    page = dict(content) | {"quantization_config": quantization}
    directory.mkdir(parents=True, exist_ok=True)
    (directory / CONFIG_FILE).unlink(missing_ok=True)  # until the arrays are there
    specs = {name: spec_of(array) for name, array in arrays.items()}
    write_tensors(directory / WEIGHTS, specs, lambda name: [arrays[name]])
    write_json(directory / CONFIG_FILE, page)
