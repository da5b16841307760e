"""Cases of what is wrong: a port must refuse it, and not compute with it.

A damaged file seldom looks damaged. Each of these is wrong in one way, and a program
that does not look says something that passes for an answer.
"""

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.files.tensorfile import header
from minibitnet.files.tensorheader import Spec
from minibitnet.golden.cases import Case, f32
from minibitnet.golden.cases.text import QUIRKY
from minibitnet.golden.quirky import QUIRKY as CONFIG
from minibitnet.golden.quirky import TURN, tokenizer

WHOLE = header({"a": Spec("F32", (2,)), "b": Spec("U8", (3,))}) + bytes(range(11))


def file(raw: bytes | str) -> NDArray[np.uint8]:
    """The bytes of a file."""
    return np.frombuffer(raw.encode() if isinstance(raw, str) else raw, np.uint8)


def safetensors(text: str, data: bytes = bytes(8)) -> NDArray[np.uint8]:
    """A safetensors file with this header."""
    return file(len(text).to_bytes(8, "little") + text.encode() + data)


def entry(**changes: Any) -> str:
    """A header of one array."""
    array = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]} | changes
    return json.dumps({"a": array})


def config(**changes: Any) -> NDArray[np.uint8]:
    """A config.json; None leaves a key out."""
    content = {k: v for k, v in (CONFIG | changes).items() if v is not None}
    return file(json.dumps(content))


def cases() -> list[Case]:
    """All of them."""
    packed, scale = np.full((2, 3), 0b01100001, np.uint8), f32([1])
    packed[1, 2] |= 0b11
    short = tokenizer()
    short["model"]["vocab"].pop("a")
    twice = entry()[:-1] + ", " + entry()[1:]
    rows: list[tuple[str, str, str, NDArray[Any], dict[str, Any]]] = [
        ("code_3", "packed", "two bits that are 3, which is no code", packed, {"M": 8}),
        ("rows", "packed", "more rows of bytes than M needs", packed & 0xAA, {"M": 4}),
        ("scale_nan", "w_scale", "a scale that is NaN", scale * np.nan, {}),
        ("scale_infinite", "w_scale", "an infinite scale", scale * np.inf, {}),
        ("scale_zero", "w_scale", "a scale of 0", scale * 0, {}),
        ("scale_negative", "w_scale", "a scale below 0", -scale, {}),
        ("id_too_high", "ids", "an id the vocabulary does not have", np.int32([1, TURN + 1]), {"model": QUIRKY}),
        ("id_negative", "ids", "an id below 0", np.int32([1, -1]), {"model": QUIRKY}),
        ("no_ids", "ids", "no ids at all", np.int32([]), {"model": QUIRKY}),
        ("truncated", "safetensors", "a file that ends too early", file(WHOLE[:-1]), {}),
        ("more_bytes", "safetensors", "bytes that belong to no array", file(WHOLE + b"\0"), {}),
        ("header_cut", "safetensors", "a file that ends in its header", file(WHOLE[:40]), {}),
        ("header_long", "safetensors", "a header longer than the file", file(b"\xff" * 16), {}),
        ("empty", "safetensors", "an empty file", file(b""), {}),
        ("no_json", "safetensors", "a header that is no JSON", safetensors("{'a'"), {}),
        ("dtype", "safetensors", "a dtype that no weights have", safetensors(entry(dtype="I64", shape=[1])), {}),
        ("shape", "safetensors", "a shape of another size than the bytes", safetensors(entry(shape=[3])), {}),
        ("offsets", "safetensors", "offsets behind the end", safetensors(entry(data_offsets=[8, 16])), {}),
        ("twice", "safetensors", "a name that comes twice", safetensors(twice), {}),
        ("activation", "config", "an activation the model does not have", config(hidden_act="gelu"), {}),
        ("heads", "config", "heads that do not divide into groups", config(num_key_value_heads=3), {}),
        ("odd_head", "config", "an odd length of heads, which has no pairs", config(head_dim=7), {}),
        ("no_layers", "config", "no number of layers", config(num_hidden_layers=None), {}),
        ("scaling", "config", "RoPE scaling", config(rope_scaling={"rope_type": "yarn"}), {}),
        ("window", "config", "a sliding window", config(sliding_window=128), {}),
        ("bias", "config", "biases", config(attention_bias=True), {}),
        ("no_object", "config", "JSON that is no object", file("[]"), {}),
        ("no_letter", "tokenizer", "a byte without a token", file(json.dumps(short)), {}),
        ("other_kind", "tokenizer", "another kind of model", file(json.dumps(tokenizer() | {"model": {"type": "Unigram"}})), {}),
    ]  # fmt: skip
    return [
        Case(f"refuse/{name}", f"{what[0].upper()}{what[1:]}.", {kind: array}, p | {"what": what})
        for name, kind, what, array, p in rows
    ]  # fmt: skip
