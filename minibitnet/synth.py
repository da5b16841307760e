"""A random checkpoint in the real layout.

The real weights are a download of 1.2 GB. A file of the same size with the same header,
whose weights are drawn by lot, loads through the same code and takes the same time and
memory; only what it says is noise. Small ones, of any shape, serve tests and
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

import json
from collections.abc import Iterator, Mapping
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from minibitnet import bf16
from minibitnet.assemble import matrices, norms
from minibitnet.config import Config, parse_config
from minibitnet.files.published import GENERATION_CONFIG, SCALE_RANGE, ZERO_SHARE
from minibitnet.files.tensorfile import WEIGHTS, Spec, write_tensors
from minibitnet.packing import CODES_PER_BYTE, SHIFTS

PIECE_BYTES = 2**24  # drawn and written at once

TABLE = 2**16  # entries that one 16-bit number picks from

# The middle size of the gains in 2B4T, by the end of the norm's name
GAINS = {
    "input_layernorm": 0.015,
    "attn_sub_norm": 2.0,
    "post_attention_layernorm": 1.35,
    "ffn_sub_norm": 2.3,
    "norm": 0.1,
}


def write_checkpoint(
    directory: Path, content: Mapping[str, Any], seed: int = 0, quiet: bool = True
) -> Path:
    """A random packed checkpoint.

    Parameters
    ----------
    directory : Path
        Where to; made if it does not exist.
    content : dict
        Its config.json.
    seed : int
        The same seed gives the same file.
    quiet : bool
        Whether to show no progress bar.

    Returns
    -------
    directory : Path
        The same.

    Raises
    ------
    CheckpointError
        If the config asks for what the model cannot do.
    """
    config = parse_config(content)
    specs = tensor_specs(config)
    directory.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    total = sum(spec.nbytes for spec in specs.values())
    with tqdm(
        total=total, desc="writing", unit="B", unit_scale=True, disable=quiet
    ) as bar:

        def make(name: str) -> Iterator[NDArray[Any]]:
            for piece in random_array(name, specs[name], rng):
                yield piece
                bar.update(piece.nbytes)

        write_tensors(directory / WEIGHTS, specs, make)
    for file, page in (
        ("config.json", content),
        ("generation_config.json", GENERATION_CONFIG),
    ):
        if file == "config.json" or config.eos_token_ids <= {
            *GENERATION_CONFIG["eos_token_id"]
        }:
            (directory / file).write_text(json.dumps(page, indent=2) + "\n")
    return directory


def tensor_specs(config: Config) -> dict[str, Spec]:
    """The arrays of a packed checkpoint.

    Parameters
    ----------
    config : Config
        The numbers of the model.

    Returns
    -------
    specs : dict
        From name to `minibitnet.files.tensorfile.Spec`.
    """
    D, V = config.hidden_size, config.vocab_size
    specs = {
        "model.embed_tokens.weight": Spec("BF16", (V, D)),
        "model.norm.weight": Spec("BF16", (D,)),
    }
    if config.tie_word_embeddings is False:
        specs["lm_head.weight"] = Spec("BF16", (V, D))
    for L in range(config.num_hidden_layers):
        for name, N in norms(config).items():
            if config.sub_norms or not name.endswith("sub_norm"):
                specs[f"model.layers.{L}.{name}.weight"] = Spec("BF16", (N,))
        for name, (M, N) in matrices(config).items():
            R = -(-M // CODES_PER_BYTE)
            specs[f"model.layers.{L}.{name}.weight"] = Spec("U8", (R, N))
            specs[f"model.layers.{L}.{name}.weight_scale"] = Spec("BF16", (1,))
    return specs


def random_array(
    name: str, spec: Spec, rng: np.random.Generator
) -> Iterator[NDArray[Any]]:
    """The pieces of one array, drawn by lot.

    Parameters
    ----------
    name : str
        Of the array, which says what it is.
    spec : Spec
        Its dtype and shape.
    rng : numpy.random.Generator
        Where chance comes from.

    Yields
    ------
    piece : ndarray of shape (n,), uint8 or uint16
        The next n elements.
    """
    if spec.dtype == "U8":
        table: NDArray[Any] = byte_table()
    elif name.endswith("weight_scale"):
        table = bf16.narrow(rng.uniform(*SCALE_RANGE, TABLE).astype(np.float32))
    elif "norm" in name:
        gain = next(
            size for end, size in GAINS.items() if name.endswith(f"{end}.weight")
        )
        table = bf16.narrow(gain * rng.uniform(0.8, 1.2, TABLE).astype(np.float32))
    else:
        table = bf16.narrow(rng.standard_normal(TABLE, np.float32))
    left = spec.nbytes // table.itemsize
    while left:
        n = min(left, PIECE_BYTES // table.itemsize)
        yield table[rng.integers(0, TABLE, n, np.uint16)]
        left -= n


def byte_table() -> NDArray[np.uint8]:
    """Packed bytes, each as often as its four codes are likely.

    Returns
    -------
    table : ndarray of shape (65536,), uint8
        Sorted.
    """
    other = (1 - ZERO_SHARE) / 2
    share = {0: other, 1: ZERO_SHARE, 2: other}  # of each stored value, code + 1
    fours = np.array(list(product(share, repeat=CODES_PER_BYTE)))  # (81, 4)
    expected = TABLE * np.prod(np.vectorize(share.get)(fours), axis=1)
    ends = np.rint(np.cumsum(expected)).astype(int)
    packed = (fours << np.array(SHIFTS)).sum(axis=1).astype(np.uint8)
    return np.repeat(packed, np.diff(ends, prepend=0))
