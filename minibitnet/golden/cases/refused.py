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
from minibitnet.golden.cases import Case, f32, i32
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


def refused(name: str, kind: str, what: str, array: NDArray[Any], **more: Any) -> Case:
    """A case that must be refused."""
    why = f"{what[0].upper()}{what[1:]}."
    return Case(f"refuse/{name}", why, {kind: array}, more | {"what": what})


def arrays() -> list[Case]:
    """Matrices, scales and ids."""
    packed, scale = np.full((2, 3), 0b01100001, np.uint8), f32([1])
    three = packed.copy()
    three[1, 2] |= 0b11
    high, low = i32([1, TURN + 1]), i32([1, -1])
    return [
        refused("code_3", "packed", "two bits that are 3, no code", three, M=8),
        refused("rows", "packed", "more rows of bytes than M needs", packed, M=4),
        refused("scale_nan", "w_scale", "a scale that is NaN", scale * np.nan),
        refused("scale_infinite", "w_scale", "an infinite scale", scale * np.inf),
        refused("scale_zero", "w_scale", "a scale of 0", scale * 0),
        refused("scale_negative", "w_scale", "a scale below 0", -scale),
        refused("id_high", "ids", "an id behind the vocabulary", high, model=QUIRKY),
        refused("id_negative", "ids", "an id below 0", low, model=QUIRKY),
        refused("no_ids", "ids", "no ids at all", i32([]), model=QUIRKY),
    ]


def weights() -> list[Case]:
    """Safetensors files."""
    twice = entry()[:-1] + ", " + entry()[1:]
    other = entry(dtype="I64", shape=[1])
    files = {
        "truncated": ("a file that ends too early", file(WHOLE[:-1])),
        "more_bytes": ("bytes that belong to no array", file(WHOLE + b"\0")),
        "header_cut": ("a file that ends in its header", file(WHOLE[:40])),
        "header_long": ("a header longer than the file", file(b"\xff" * 16)),
        "empty": ("an empty file", file(b"")),
        "no_json": ("a header that is no JSON", safetensors("{'a'")),
        "dtype": ("a dtype that no weights have", safetensors(other)),
        "shape": ("a shape of another size", safetensors(entry(shape=[3]))),
        "offsets": ("offsets behind the end", safetensors(entry(data_offsets=[8, 16]))),
        "twice": ("a name that comes twice", safetensors(twice)),
    }
    return [refused(name, "safetensors", *of) for name, of in files.items()]


def configs() -> list[Case]:
    """Files config.json and tokenizer.json."""
    short = tokenizer()
    short["model"]["vocab"].pop("a")
    other = json.dumps(tokenizer() | {"model": {"type": "Unigram"}})
    yarn = config(rope_scaling={"rope_type": "yarn"})
    files = {
        "activation": ("an unknown activation", config(hidden_act="gelu")),
        "heads": ("heads that make no groups", config(num_key_value_heads=3)),
        "odd_head": ("an odd length of heads, without pairs", config(head_dim=7)),
        "no_layers": ("no number of layers", config(num_hidden_layers=None)),
        "scaling": ("RoPE scaling", yarn),
        "window": ("a sliding window", config(sliding_window=128)),
        "bias": ("biases", config(attention_bias=True)),
        "no_object": ("JSON that is no object", file("[]")),
    }
    return [
        *(refused(name, "config", *of) for name, of in files.items()),
        refused(
            "no_letter", "tokenizer", "no token for a byte", file(json.dumps(short))
        ),
        refused("other_kind", "tokenizer", "another kind of model", file(other)),
    ]


def cases() -> list[Case]:
    """All of them."""
    return [*arrays(), *weights(), *configs()]
