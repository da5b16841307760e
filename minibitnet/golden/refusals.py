"""What a port must refuse: inputs that are not what they pass for.

A port that computes with a damaged file says something, and it looks right. So there
are vectors of wrong inputs, and the one right answer is to refuse. The name of the
input says what it passes for.

Examples
--------
A byte with the code 3, which is none:

>>> is_refused({"packed": np.uint8([[0b11]])}, {"M": 1})
True
>>> is_refused({"packed": np.uint8([[0b10]])}, {"M": 1})
False
"""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.checkpoint.configfile import parse_config
from minibitnet.files.jsonfile import read_json
from minibitnet.files.tensorfile import read_tensors
from minibitnet.model import check_ids
from minibitnet.packing import find_unused_code
from minibitnet.text.tokenizerfile import read_bpe

Parameters = Mapping[str, Any]


def check_packed(packed: NDArray[Any], p: Parameters) -> None:
    """Refuse the code 3, and another number of rows than M needs."""
    if find_unused_code(packed) is not None or len(packed) != -(-p["M"] // 4):
        raise ValueError("packed")


def check_scale(w_scale: NDArray[Any], p: Parameters) -> None:
    """Refuse a scale of weights that is not finite and above 0."""
    if not 0 < w_scale.item() < np.inf:
        raise ValueError("w_scale")


def check_tokens(ids: NDArray[Any], p: Parameters) -> None:
    """Refuse ids that the vocabulary does not have, and none at all."""
    check_ids(ids, parse_config(read_json(p["model"] / "config.json")), None)


def check_file(
    read: Callable[[Path], Any],
) -> Callable[[NDArray[Any], Parameters], None]:
    """Refuse the bytes of a file that cannot be read."""

    def check(raw: NDArray[Any], p: Parameters) -> None:
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "file"
            file.write_bytes(raw.tobytes())
            read(file)

    return check


CHECKS: dict[str, Callable[[NDArray[Any], Parameters], None]] = {
    "packed": check_packed,
    "w_scale": check_scale,
    "ids": check_tokens,
    "safetensors": check_file(read_tensors),
    "config": check_file(lambda file: parse_config(read_json(file))),
    "tokenizer": check_file(read_bpe),
}


def is_refused(inputs: Mapping[str, NDArray[Any]], parameters: Parameters) -> bool:
    """Whether the one input is refused."""
    [(kind, array)] = inputs.items()
    try:
        CHECKS[kind](array, parameters)
    except ValueError:
        return True
    return False
