"""A random checkpoint in the real layout.

The real weights are a download of 1.2 GB. A file of the same size with the same header,
whose weights are drawn at random, loads through the same code and takes the same time
and memory; only what it says is noise. Small ones, of any shape, serve tests and
experiments.

Notes
-----
Drawn are: ternary codes with the share of zeros of 2B4T, scales in the range of its
210, gains of the size of its norms (so that activations keep a sensible size), an
embedding of unit size. A code is not drawn by itself: one 16-bit number picks a byte of
four from a table in which each byte stands as often as it should.

The same seed gives the same file. With 2B4T's config, the header is byte for byte the
one of the real file.

Examples
--------
>>> from minibitnet.packing import unpack
>>> codes = unpack(byte_table()[:, None])
>>> print(*(f"{(codes == value).mean():.4f}" for value in (-1, 0, 1)))
0.2889 0.4221 0.2889
"""

from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet import bf16
from minibitnet.arrays import U8
from minibitnet.checkpoint.configfile import Stored, parse_config, parse_stored
from minibitnet.config import Config
from minibitnet.files.progress import announce, progress_bar
from minibitnet.files.published import (
    CODE_COUNTS,
    CONFIG,
    GENERATION_CONFIG,
    SCALE_RANGE,
)
from minibitnet.files.tensorfile import WEIGHTS, write_tensors
from minibitnet.files.tensorheader import LARGEST_HEADER, Spec
from minibitnet.files.writing import CONFIG_FILE, new_directory, write_json
from minibitnet.packing import CODES_PER_BYTE, SHIFTS
from minibitnet.weights import (
    ATTN_NORM,
    ATTN_SUB_NORM,
    FFN_NORM,
    FFN_SUB_NORM,
    is_norm,
    is_ternary,
    shapes,
)

PIECE_BYTES = 2**24  # drawn and written at once
LAYER_BYTES = 2500  # of a header, at most, for the arrays of a layer
LARGE = 10**8  # bytes that take more than a moment to write
TABLE = 2**16  # entries that one 16-bit number picks from
# The middle size of the gains in 2B4T; "norm" is the last one
GAINS = {
    ATTN_NORM: 0.015,
    ATTN_SUB_NORM: 2.0,
    FFN_NORM: 1.35,
    FFN_SUB_NORM: 2.3,
    "model.norm": 0.1,
}
# A config.json of a model that runs in no time, with room for a token of each byte
SMALL = CONFIG | {
    "hidden_size": 256,
    "intermediate_size": 688,
    "num_hidden_layers": 4,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 259,
    "max_position_embeddings": 512,
    "bos_token_id": 257,
    "eos_token_id": 258,
}


def write_checkpoint(
    directory: Path, content: Mapping[str, Any], seed: int = 0
) -> Path:
    """A random packed checkpoint with this config.json; returns the directory.

    Raises
    ------
    CheckpointError
        If the config asks for what the model cannot do.
    ValueError
        If the directory is not empty.
    """
    with new_directory(directory) as part:
        write_files(part, content, seed)
    return directory


def write_files(directory: Path, content: Mapping[str, Any], seed: int) -> None:
    """The files of a random packed checkpoint, in a directory that is there."""
    config = parse_config(content)
    check_depth(config.num_hidden_layers)
    specs = tensor_specs(config, parse_stored(content))
    rng = np.random.default_rng(seed)
    total = sum(spec.nbytes for spec in specs.values())
    if total > LARGE:
        announce(f"writing {total / 1e9:.1f} GB")
    with progress_bar(total, "writing", unit="B") as advance:

        def make(name: str) -> Iterator[NDArray[Any]]:
            for piece in random_array(name, specs[name], rng):
                yield piece
                advance(piece.nbytes)

        write_tensors(directory / WEIGHTS, specs, make)
    write_json(directory / CONFIG_FILE, content)
    if set(config.eos_token_ids) <= {*GENERATION_CONFIG["eos_token_id"]}:
        write_json(directory / "generation_config.json", GENERATION_CONFIG)


def check_depth(layers: int) -> None:
    """Refuse so many layers that no reader would take the header that lists them."""
    most = LARGEST_HEADER // LAYER_BYTES
    if layers > most:
        raise ValueError(f"num_hidden_layers: expected at most {most}, found {layers}")


def tensor_specs(config: Config, stored: Stored) -> dict[str, Spec]:
    """The arrays of a packed checkpoint, by name."""
    sub_norms, tied = stored.sub_norms, stored.tied is not False
    specs = {}
    for name, shape in shapes(config, sub_norms=sub_norms, tied=tied).items():
        if is_ternary(name):
            M, N = shape
            specs[name] = Spec("U8", (-(-M // CODES_PER_BYTE), N))
            specs[f"{name}_scale"] = Spec("BF16", (1,))
        else:
            specs[name] = Spec("BF16", shape)
    return specs


def random_array(
    name: str, spec: Spec, rng: np.random.Generator
) -> Iterator[NDArray[Any]]:
    """The pieces of one array, drawn at random, by what its name says it is."""
    if spec.dtype == "U8":
        table: NDArray[Any] = byte_table()
    elif name.endswith("weight_scale"):
        table = bf16.narrow(rng.uniform(*SCALE_RANGE, TABLE).astype(np.float32))
    elif is_norm(name):
        [gain] = [size for end, size in GAINS.items() if f"{end}.weight" in name]
        table = bf16.narrow(gain * rng.uniform(0.8, 1.2, TABLE).astype(np.float32))
    else:
        table = bf16.narrow(rng.standard_normal(TABLE, np.float32))
    left = spec.nbytes // table.itemsize
    while left:
        n = min(left, PIECE_BYTES // table.itemsize)
        yield table[rng.integers(0, TABLE, n, np.uint16)]
        left -= n


def byte_table() -> U8:
    """65,536 packed bytes, sorted, each as often as its four codes are likely."""
    total = sum(CODE_COUNTS.values())
    share = {code + 1: n / total for code, n in CODE_COUNTS.items()}  # as stored
    fours = np.array(list(product(share, repeat=CODES_PER_BYTE)))  # (81, 4)
    expected = TABLE * np.prod(np.vectorize(share.get)(fours), axis=1)
    ends = np.rint(np.cumsum(expected)).astype(int)
    packed = (fours << np.array(SHIFTS)).sum(axis=1).astype(np.uint8)
    return np.repeat(packed, np.diff(ends, prepend=0))
