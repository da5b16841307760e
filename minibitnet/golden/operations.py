"""The operations of the model, each computed by the page.

A vector is an operation, its inputs and what comes out. What comes out is computed
here, by the page: by its functions, and where the page has a few lines in place of a
function (attention, the product, the logits), by those very lines. So no formula is
written down a second time, and a page with a mistake in it gives the vectors of that
mistake.

Notes
-----
What the page does not have is done by the package: packing, the layouts of GGUF files,
sampling, the tokenizer, and refusing what is wrong.

Examples
--------
>>> gate, up = np.float32([[-2, 0.5, 3]]), np.float32([[10, 20, 100]])
>>> answer("relu2_gate", {"gate": gate, "up": up}, {"activation": "relu2"})
{'y': array([[  0.,   5., 900.]], dtype=float32)}

The lines of the page that are the product, with nothing around them:

>>> x_codes, w_codes = np.int8([[100, 120, -7]]), np.int8([[1, 1, -1]])
>>> run_lines(REFERENCE, "acc = ", "acc = ", x_codes=x_codes, w_codes=w_codes)["acc"]
array([[227]], dtype=int32)
"""

import inspect
import json
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet import bpe, one_page, packing, sampling
from minibitnet.files.published import CHAT_TEMPLATE
from minibitnet.formats import i2_s, tq1_0, tq2_0
from minibitnet.golden.refusals import is_refused
from minibitnet.golden.traces import LEFT_OUT, join
from minibitnet.text.tokenizerfile import read_bpe
from minibitnet.tokenizer import Tokenizer

Arrays = Mapping[str, NDArray[Any]]
Parameters = Mapping[str, Any]
LAYOUTS = {"I2_S": i2_s, "TQ1_0": tq1_0, "TQ2_0": tq2_0}
DECIMALS = 10  # of probabilities, whose last bits are those of a machine's exp


@dataclass(frozen=True)
class Reference:
    """The modules that compute: the page, and what it does not have."""

    page: ModuleType = one_page
    source: str = inspect.getsource(one_page)
    packing: ModuleType = packing
    bpe: ModuleType = bpe
    layouts: Mapping[str, ModuleType] = field(default_factory=lambda: LAYOUTS)

    def __hash__(self) -> int:
        return id(self)


REFERENCE = Reference()


def run_lines(ref: Reference, first: str, last: str, **names: Any) -> dict[str, Any]:
    """Run the page from the line that begins with `first` to that of `last`.

    The lines see these names and the page's functions; what they leave is returned.
    """
    lines = ref.source.splitlines()
    starts = [line.strip() for line in lines]
    begin = next(i for i, line in enumerate(starts) if line.startswith(first))
    end = next(
        i for i, line in enumerate(starts) if i >= begin and line.startswith(last)
    )
    text = textwrap.dedent("\n".join(lines[begin : end + 1]))
    scope = vars(ref.page) | {"stage": lambda name, array: array, "output": ""} | names
    exec(text, scope)
    return scope


def ternary(ref: Reference, packed: Any, M: int, w_scale: Any, divides: bool) -> Any:
    """The codes of a packed matrix and the scale that multiplies, by the page."""
    kind = "bitlinear" if divides else "autobitlinear"
    config = {"quantization_config": {"linear_class": kind}}
    weights = {"w.weight": packed, "w.weight_scale": w_scale}
    return ref.page.ternary(config, weights, "w", M)


def unpack_gguf(ref: Reference, i: Arrays, p: Parameters) -> Any:
    """The codes and the scale of a ternary matrix as GGUF has it."""
    layout, data, M, N = ref.layouts[p["type"]], i["data"], p["M"], p["N"]
    if p["type"] == "I2_S":
        scale = layout.unpack_scale(data)
    else:
        scale = layout.unpack_scales(data, M, N).max()  # of blocks of zeros it is 0
    return {"codes": layout.unpack(data, M, N), "scale": np.array([scale], np.float32)}


def pack_gguf(ref: Reference, i: Arrays, p: Parameters) -> Any:
    """A ternary matrix as GGUF has it."""
    return {"data": ref.layouts[p["type"]].pack(i["codes"], i["scale"].item())}


def quantize_activations(ref: Reference, i: Arrays, p: Parameters) -> Any:
    """A token's codes and scale."""
    codes, scale = ref.page.quantize_activations(i["x"])
    return {"codes": codes, "scale": scale}


def quantize_weights(ref: Reference, i: Arrays, p: Parameters) -> Any:
    """A matrix's codes and scale."""
    codes, scale = ref.page.quantize_weights(i["W"])
    return {"codes": codes, "scale": np.reshape(scale, 1)}


def product(ref: Reference, i: Arrays, p: Parameters) -> Any:
    """Integer sums of a token's codes, by the packed matrix."""
    one = np.ones(1, np.float32)
    w_codes, _ = ternary(ref, i["packed"], p["M"], one, divides=False)
    names = {"x_codes": i["x_codes"], "w_codes": w_codes}
    return {"acc": run_lines(ref, "acc = ", "acc = ", **names)["acc"]}


def rescale(ref: Reference, i: Arrays, p: Parameters) -> Any:
    """Sums as real numbers; the stored scale multiplies or divides."""
    packed = np.zeros((1, 1), np.uint8)
    _, w_scale = ternary(ref, packed, 1, i["w_scale"], p["divides"])
    names = {"acc": i["acc"], "x_scale": i["x_scale"], "w_scale": w_scale, "ys": []}
    [y] = run_lines(ref, "ys.append", "ys.append", **names)["ys"]
    return {"y": y}


def rotations(ref: Reference, i: Arrays, p: Parameters) -> Any:
    """Cosine and sine of each pair at each position."""
    cos, sin = ref.page.rotations(i["positions"], p["d"], p["theta"])
    return {"cos": cos[:, 0], "sin": sin[:, 0]}


def rotate(ref: Reference, i: Arrays, p: Parameters) -> Any:
    """Every head turned."""
    return {"y": ref.page.rotate(i["x"], i["cos"][:, None], i["sin"][:, None])}


def attend(ref: Reference, i: Arrays, p: Parameters) -> Any:
    """The last T of S tokens, each over all up to itself."""
    q, k, v = i["q"], i["k"], i["v"]
    (T, H, d), (S, G, d) = q.shape, k.shape
    names = {"q": q, "k": k, "v": v, "T": T, "H": H, "G": G, "d": d, "start": S - T}
    names["D"] = H * d  # which the page has at hand there
    scope = run_lines(ref, "attn_weights = np.zeros", "attn[t, head] = ", **names)
    return {"attn": scope["attn"].reshape(T, H * d)}


def relu2_gate(ref: Reference, i: Arrays, p: Parameters) -> Any:
    """What passes the gate."""
    names = dict(i) | {"config": {"hidden_act": p["activation"]}}
    first, last = "activation = ", 'x = stage("relu2_gate"'
    return {"y": run_lines(ref, first, last, **names)["x"]}


def logits(ref: Reference, i: Arrays, p: Parameters) -> Any:
    """The last vector against every row of the head."""
    names = {"h": i["h"].astype(np.float64), "lm_head": i["head"]}
    blocks = run_lines(ref, "blocks = ", "logits = ", **names)["logits"]
    return {"logits": np.concatenate(blocks, axis=1)}


def greedy(ref: Reference, i: Arrays, p: Parameters) -> Any:
    """The most likely token."""
    first = "new.append("
    new = run_lines(ref, first, first, logits=i["logits"], new=[])["new"]
    return {"id": np.array(new, np.int32)}


def probabilities(ref: Reference, i: Arrays, p: Parameters) -> Any:
    """The probability of each token, the tail cut."""
    return {"p": sampling.probabilities(i["logits"], **p).round(DECIMALS)}


def pick(ref: Reference, i: Arrays, p: Parameters) -> Any:
    """The token that a number from 0 to 1 falls on."""
    sums = i["p"].cumsum()
    return {"id": np.searchsorted(sums / sums[-1], i["u"], "right").astype(np.int32)}


def as_ids(ids: list[int]) -> NDArray[np.int32]:
    """Token ids as an array."""
    return np.array(ids, np.int32)


@cache
def load_tokenizer(ref: Reference, directory: Path) -> Tokenizer:
    """The plain tokenizer of a directory."""
    inner = read_bpe(directory / "tokenizer.json")
    if ref.bpe is not bpe:  # another module's methods; still one of the package's
        inner = type("BPE", (ref.bpe.BPE, bpe.BPE), {})(**vars(inner))
    return Tokenizer(inner, CHAT_TEMPLATE)


def encode(ref: Reference, i: Arrays, p: Parameters) -> Any:
    """The ids of a text."""
    text = i["text"].tobytes().decode()
    return {"ids": as_ids(load_tokenizer(ref, p["model"]).encode(text, bos=p["bos"]))}


def decode(ref: Reference, i: Arrays, p: Parameters) -> Any:
    """The text of ids."""
    text = load_tokenizer(ref, p["model"]).decode(i["ids"])
    return {"text": np.frombuffer(text.encode(), np.uint8)}


def chat(ref: Reference, i: Arrays, p: Parameters) -> Any:
    """The ids of a conversation."""
    messages = json.loads(i["messages"].tobytes())
    return {"ids": as_ids(load_tokenizer(ref, p["model"]).chat(messages))}


def forward(ref: Reference, i: Arrays, p: Parameters) -> Any:
    """Every stage, the tokens read in pieces."""
    config, weights = ref.page.load(p["model"])
    parts: list[tuple[str, NDArray[Any]]] = []
    cache: list[Any] = []
    for piece in np.split(i["ids"], np.cumsum(p["pieces"])[:-1]):
        trace: dict[str, NDArray[Any]] = {}
        ref.page.forward(config, weights, piece, cache, trace)
        parts += [part for part in trace.items() if not part[0].endswith(LEFT_OUT)]
    return join(parts, "forward")


def generate(ref: Reference, i: Arrays, p: Parameters) -> Any:
    """The greedy continuation."""
    config, weights = ref.page.load(p["model"])
    return {"ids": as_ids(ref.page.generate(config, weights, [*i["ids"]], p["n"]))}


Operation = Callable[[Reference, Arrays, Parameters], dict[str, NDArray[Any]]]
OPERATIONS: dict[str, Operation] = {
    "encode": encode,
    "decode": decode,
    "chat": chat,
    "refuse": lambda ref, i, p: {"refused": np.array([is_refused(i, p)], np.uint8)},
    "widen": lambda ref, i, p: {"values": ref.page.widen(i["bits"])},
    "pack": lambda ref, i, p: {"packed": ref.packing.pack(i["codes"])},
    "unpack": lambda ref, i, p: {"codes": ref.page.unpack(i["packed"], p["M"])},
    "pack_gguf": pack_gguf,
    "unpack_gguf": unpack_gguf,
    "quantize_weights": quantize_weights,
    "quantize_activations": quantize_activations,
    "product": product,
    "rescale": rescale,
    "rms_norm": lambda ref, i, p: {"y": ref.page.rms_norm(i["x"], i["gain"], p["eps"])},
    "rotations": rotations,
    "rotate": rotate,
    "attend": attend,
    "relu2_gate": relu2_gate,
    "forward": forward,
    "logits": logits,
    "greedy": greedy,
    "probabilities": probabilities,
    "pick": pick,
    "generate": generate,
}


# For programs that read GGUF files: a port that answers none of them is not asked.
OPTIONAL = {"pack_gguf", "unpack_gguf"}


def locate(parameters: Mapping[str, Any], directory: Path) -> dict[str, Any]:
    """The parameters, with the model's directory as a path."""
    located = dict(parameters)
    if "model" in located:
        located["model"] = directory / located["model"]
    return located


def answer(
    operation: str, inputs: Arrays, parameters: Parameters, ref: Reference = REFERENCE
) -> dict[str, NDArray[Any]]:
    """What an operation makes of its inputs."""
    return OPERATIONS[operation](ref, inputs, parameters)
