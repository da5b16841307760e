"""From trained masters to a checkpoint, in both forms that 2B4T has.

Notes
-----
The masters are rounded to bfloat16 first, and the codes are those of the rounded
masters: so whoever loads the one form computes what whoever loads the other does.
``weight_scale`` is kept as float32, not bfloat16 as in 2B4T, for the same reason: a
reader of the masters computes it to that precision.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minibitnet import bf16
from minibitnet.absmean import quantize_weights
from minibitnet.files.tensorfile import WEIGHTS, spec_of, write_tensors
from minibitnet.packing import pack
from minibitnet.training.network import Parameters
from minibitnet.weights import is_ternary


def export(
    parameters: Parameters, content: Mapping[str, Any], directory: Path, packed: bool
) -> None:
    """Write config.json and the weights."""
    arrays: dict[str, np.ndarray[Any, Any]] = {}
    for name, master in parameters.items():
        bits = bf16.narrow(master)
        if packed and is_ternary(name):
            w_codes, w_scale = quantize_weights(bf16.widen(bits))
            arrays[name] = pack(w_codes)
            arrays[f"{name}_scale"] = np.array([w_scale])
        else:
            arrays[name] = bits
    specs = {name: spec_of(array) for name, array in arrays.items()}
    mode = {"quantization_mode": "offline" if packed else "online"}
    quantization = content["quantization_config"] | mode
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(
        json.dumps(dict(content) | {"quantization_config": quantization}, indent=2)
        + "\n"
    )
    write_tensors(directory / WEIGHTS, specs, lambda name: [arrays[name]])
