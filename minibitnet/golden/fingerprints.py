r"""Fingerprints: what a model computes, in kilobytes, for others to check against.

The weights of 2B4T are 1.2 GB, and a forward pass of a few tokens makes millions of
numbers of them. Nobody publishes these; their hashes fit in a small file. Whoever has
the real weights makes it once. Whoever has another copy, another file format, machine
or program makes the same fingerprint, or sees where it first becomes another
(`minibitnet.golden.matching`).

Notes
-----
A fingerprint is a JSON object, which a program in any language can make::

    format, version   "minibitnet fingerprint", 1
    contract          of the numbers, 2 (README, "Exact in what sense")
    config            the model's numbers, as in `minibitnet.config`
    text, ids         what was read; text is null where ids were given as such
    weights           by name, in the order of computation:
        codes             SHA-256 of a matrix: M x N bytes, row after row, -1 as 0xff
        scale             the float32 that multiplies the codes
        values            SHA-256 of any other array, as float32
    stages            by name, in the order of computation:
        rows              of .codes, .acc, .scale: for each position the first 16 digits
                          of the SHA-256 of its row
        l2, absmax        of floats: for each position the root of the sum of squares,
                          and the largest size, to 6 digits
    logits            for each position the 20 most likely tokens, the first of equals
                      first: ids, values, and the margin between the first two
    greedy            the 16 most likely tokens, one after another, up to an end of text

Bytes are little-endian: int8 codes, int32 sums, float32 scales and values. Codes are
hashed as numbers, whatever packed them, so that a GGUF file of the same codes has the
same hashes; if its scales were rounded otherwise, they are told apart. 16 hexadecimal
digits are 64 bits, as in the manifest of the test vectors: enough to tell mistakes
from right numbers, though not to withstand somebody who looks for a second row with
the same digits. The hashes of weights are whole.

Examples
--------
A row of two sums has eight bytes. As int64, or with the largest byte first, it would
have another hash.

>>> hash_rows(np.array([[1, 258]], np.int32))
['fb8bbe2ad3ab5292']
>>> hashlib.sha256(b"\1\0\0\0\2\1\0\0").hexdigest()[:16]
'fb8bbe2ad3ab5292'
>>> from minibitnet.packing import pack
>>> hash_codes(pack(np.array([[1, -1], [0, 1]], np.int8)), 2)[:16]
'1c033ec6975f268a'
>>> hashlib.sha256(b"\x01\xff\x00\x01").hexdigest()[:16]
'1c033ec6975f268a'
"""

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet import bf16
from minibitnet.arrays import F16, F32, U8, U16
from minibitnet.bitlinear import BitLinear
from minibitnet.config import Config
from minibitnet.decode import generate
from minibitnet.files.progress import progress
from minibitnet.golden.hashes import hash_rows, little_endian, sha256
from minibitnet.golden.names import CONTRACT
from minibitnet.golden.traces import LEFT_OUT
from minibitnet.model import Block, Model, forward
from minibitnet.packing import unpack
from minibitnet.stages import listen
from minibitnet.tokenizer import Tokenizer
from minibitnet.weights import (
    ATTN_NORM,
    ATTN_SUB_NORM,
    DOWN,
    EMBEDDING,
    FFN_NORM,
    FFN_SUB_NORM,
    FINAL_NORM,
    GATE_UP,
    HEAD,
    OUT,
    QKV,
    in_layer,
)

Entry = dict[str, Any]
FORMAT, VERSION = "minibitnet fingerprint", 1
TEXT = "Once upon a time, 12"
SPREAD = 8  # ids to read where there is no tokenizer
MOST = 64  # tokens to read
NEW = 16  # tokens to write
TOP = 20  # tokens of each position whose logits are told
EXACT = (".codes", ".acc", ".scale")  # stages whose rows are hashed
ROWS = 4096  # hashed at a time


def choose_ids(
    model: Model, tokenizer: Tokenizer | None
) -> tuple[list[int], str | None]:
    """What to read: a short text, or else ids spread over the vocabulary."""
    if tokenizer is not None:
        return tokenizer.encode(TEXT), TEXT
    return [t * model.config.vocab_size // SPREAD for t in range(SPREAD)], None


def fingerprint(model: Model, ids: Sequence[int], text: str | None = None) -> Entry:
    """The fingerprint of a model that reads these ids, which stand for that text.

    Raises ValueError if there are none or too many, or the model cannot read them.
    """
    if len(ids) > MOST:  # a fingerprint is to stay small
        raise ValueError(
            f"ids must be at most {MOST} for a fingerprint, got {len(ids)}"
        )
    stages: Entry = {}
    with listen(lambda name, array: stages.update(describe_stage(name, array))):
        logits = forward(model, ids)
    return {
        "format": FORMAT,
        "version": VERSION,
        "contract": CONTRACT,
        "config": as_json(model.config),
        "text": text,
        "ids": [*map(int, ids)],
        "weights": dict(describe_weights(model)),
        "stages": stages,
        "logits": [describe_logits(row) for row in logits],
        "greedy": list(generate(model, ids, NEW)),
    }


def as_json(config: Config) -> Entry:
    """The numbers of a model as JSON has them."""
    return in_float32(vars(config) | {"eos_token_ids": [*config.eos_token_ids]})


def in_float32(numbers: Entry) -> Entry:
    """The same numbers, floats as float32: a GGUF file has eps only so exactly."""
    return {
        key: fewest_digits(np.float32(value)) if isinstance(value, float) else value
        for key, value in numbers.items()
    }


def describe_weights(model: Model) -> Iterator[tuple[str, Entry]]:
    """The hash of every array, by name."""
    yield EMBEDDING, {"values": hash_values(model.embed_tokens)}
    for layer, block in enumerate(progress(model.layers, "hashing")):
        for name, entry in describe_block(block):
            yield in_layer(layer, name), entry
    yield FINAL_NORM, {"values": hash_values(model.norm)}
    if model.lm_head is not model.embed_tokens:
        yield HEAD, {"values": hash_values(model.lm_head)}


def describe_block(block: Block) -> Iterator[tuple[str, Entry]]:
    """The hashes of a layer, by the names inside it."""
    attention, mlp = block.self_attn, block.mlp
    parts: tuple[tuple[Sequence[str], BitLinear | F32 | None], ...] = (
        ([ATTN_NORM], block.input_layernorm),
        (QKV, attention.qkv_proj),
        ([ATTN_SUB_NORM], attention.attn_sub_norm),
        (OUT, attention.o_proj),
        ([FFN_NORM], block.post_attention_layernorm),
        (GATE_UP, mlp.gate_up_proj),
        ([FFN_SUB_NORM], mlp.ffn_sub_norm),
        (DOWN, mlp.down_proj),
    )
    for names, part in parts:
        if isinstance(part, BitLinear):
            yield from zip(names, describe_matrices(part), strict=True)
        elif part is not None:
            yield names[0], {"values": hash_values(part)}


def describe_matrices(layer: BitLinear) -> Iterator[Entry]:
    """The hash of the codes of each matrix, and its scale."""
    for packed, M, w_scale in zip(layer.packed, layer.rows, layer.scales, strict=True):
        yield {"codes": hash_codes(packed, M), "scale": fewest_digits(w_scale)}


def hash_codes(packed: U8, M: int) -> str:
    """The SHA-256 of the codes of a matrix, as int8, row after row.

    packed (R, N)
    """
    return sha256(unpack(packed, M).tobytes())


def hash_values(stored: U16 | F16 | F32) -> str:
    """The SHA-256 of an array as float32, whatever it is stored as.

    stored (...)
    """
    digest = hashlib.sha256()
    for row in range(0, len(stored), ROWS):
        digest.update(little_endian(bf16.widen(stored[row : row + ROWS])).tobytes())
    return digest.hexdigest()


def describe_stage(name: str, array: NDArray[Any]) -> Entry:
    """What a fingerprint says of a stage, by its name; nothing of two of them.

    array (...)
    """
    if name.endswith(EXACT):
        return {name: {"rows": hash_rows(array)}}
    if name.endswith(LEFT_OUT) or name == "logits":
        return {}
    return {name: describe_floats(array)}


def describe_floats(array: F32) -> Entry:
    """The length of each position's vector, and its largest number.

    array (...)
    """
    wide = array.reshape(len(array), -1).astype(np.float64)
    l2, absmax = np.sqrt(np.square(wide).sum(axis=1)), np.abs(wide).max(axis=1)
    return {
        name: [float(f"{number:.6g}") for number in numbers]
        for name, numbers in (("l2", l2), ("absmax", absmax))
    }


def describe_logits(logits: F32) -> Entry:
    """The most likely tokens of a position.

    logits (V,)
    """
    likely = np.argsort(-logits, kind="stable")[:TOP]
    values = logits[likely]
    return {
        "ids": likely.tolist(),
        "values": [*map(fewest_digits, values)],
        "margin": fewest_digits(values[0] - values[:2][-1]),
    }


def fewest_digits(number: np.float32) -> float:
    """A float32 by the fewest digits that read back."""
    return float(str(number))
