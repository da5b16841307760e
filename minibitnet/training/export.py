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

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet import bf16
from minibitnet.absmean import quantize_weights
from minibitnet.files.tensorfile import WEIGHTS, spec_of, write_tensors
from minibitnet.packing import pack
from minibitnet.training.network import Parameters
from minibitnet.weights import is_ternary


def export_packed(
    parameters: Parameters, content: Mapping[str, Any], directory: Path
) -> None:
    """Write a checkpoint of packed codes and scales; `content` is its config.json."""
    arrays: dict[str, NDArray[Any]] = {}
    for name, master in parameters.items():
        arrays[name] = bf16.narrow(master)
        if is_ternary(name):
            w_codes, w_scale = quantize_weights(bf16.widen(arrays[name]))
            arrays[name] = pack(w_codes)
            arrays[f"{name}_scale"] = np.array([w_scale])
    _write(arrays, content, "offline", directory)


def export_masters(
    parameters: Parameters, content: Mapping[str, Any], directory: Path
) -> None:
    """Write a checkpoint of masters in bfloat16; `content` is its config.json."""
    arrays = {name: bf16.narrow(master) for name, master in parameters.items()}
    _write(arrays, content, "online", directory)


def _write(
    arrays: Mapping[str, NDArray[Any]],
    content: Mapping[str, Any],
    mode: str,
    directory: Path,
) -> None:
    """Write config.json, which says when weights are quantized, and the arrays."""
    quantization = content["quantization_config"] | {"quantization_mode": mode}
    page = dict(content) | {"quantization_config": quantization}
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(page, indent=2) + "\n")
    specs = {name: spec_of(array) for name, array in arrays.items()}
    write_tensors(directory / WEIGHTS, specs, lambda name: [arrays[name]])
