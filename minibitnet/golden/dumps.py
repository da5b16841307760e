r"""What a port dumped, in whatever form: numbers under the names of stages.

A port that is being written has no trace yet. It prints a few numbers, or another
program has hooks that write files under names of its own. All that matters is which
stage a number belongs to, and how exactly it was written down.

Notes
-----
Understood are

- a trace, whole or in part: a directory of ``.npy`` files, an ``.npz``, a ``.trace``
  (`minibitnet.golden.traces`); a single ``.npy``;
- such a directory under the names of transformers' modules, as forward hooks write it:
  ``model.layers.0.self_attn.q_proj.npy``, with an axis for a batch of one or without;
- a text of numbers with white space, commas or brackets between, as programs print
  lists, named after its stage: ``logits.txt``, ``layers.0.q.acc.txt``;
- what llama.cpp's ``llama-eval-callback`` prints (`minibitnet.golden.evalcallback`).

A name that is none of a stage is refused. Numbers of fewer tokens than were read are
those of the last tokens: of the logits often only the last row is at hand. A printed
number is as exact as its last digit: half a unit there, or in the last bit of a float32
that was printed as the shortest decimal it can be read back from.

Examples
--------
>>> stage_name("model.layers.3.self_attn.q_proj"), stage_name("model.layers.3")
('layers.3.q', 'layers.3.ffn_residual')
>>> seen = read_numbers("[[0.25, -1.50], [1.00, 2.00]]", "logits.txt")
>>> seen.values, float(seen.error[0])
(array([ 0.25, -1.5 ,  1.  ,  2.  ]), 0.005)
"""

import codecs
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.golden.evalcallback import is_callback, read_callback
from minibitnet.golden.names import EMBED, FINAL_NORM, IN_A_BLOCK, LOGITS
from minibitnet.golden.seen import Seen
from minibitnet.golden.traces import load, read_trace

OURS = {stage.name for stage in IN_A_BLOCK}
HF = {stage.hf: stage.name for stage in IN_A_BLOCK if stage.hf}
HF |= {"": "ffn_residual", "self_attn": "o", "mlp": "down"}  # what holds the others
AROUND = {stage.name: stage.name for stage in (EMBED, FINAL_NORM, LOGITS)}
AROUND |= {stage.hf: stage.name for stage in (EMBED, FINAL_NORM, LOGITS)}
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf)", re.I)
LARGEST_TEXT = 2**28  # bytes


@dataclass(frozen=True)
class Dump:
    """The numbers of a port, by stage, and the token ids where they came along."""

    stages: dict[str, Seen]
    ids: NDArray[np.integer[Any]] | None


def stage_name(name: str) -> str | None:
    """The stage that an array of this name is; None if it is none."""
    if name in AROUND:
        return AROUND[name]
    ours = re.fullmatch(r"layers\.(\d+)\.(.+)", name)
    if ours and ours[2] in OURS:
        return name
    theirs = re.fullmatch(r"model\.layers\.(\d+)\.?(.*)", name)
    return f"layers.{theirs[1]}.{HF[theirs[2]]}" if theirs and theirs[2] in HF else None


def read_dump(path: Path) -> Dump:
    """The numbers of a file or directory.

    Raises ValueError if they are not understood.
    """
    if not path.exists():
        raise ValueError(f"{path}: expected what a port dumped, found nothing")
    if path.is_file() and path.suffix not in (".npz", ".trace", ".npy"):
        return Dump(read_printed(path), None)
    arrays = {path.stem: load(path)} if path.suffix == ".npy" else read_trace(path)
    ids = arrays.pop("ids", None)
    stages: dict[str, Seen] = {}
    for name, array in arrays.items():
        stage = name_in(path, name)
        if stage in stages:
            raise ValueError(f"{path}: expected {stage} once, found it twice")
        stages[stage] = Seen(array)
    return Dump(stages, ids)


def read_printed(path: Path) -> dict[str, Seen]:
    """The numbers of a text, or of what the callback prints."""
    text = read_text(path)
    if is_callback(text):
        return read_callback(text, str(path))
    if stage_name(path.stem) is None:
        raise ValueError(
            f"{path}: expected what llama-eval-callback prints, or a text named after "
            "its stage, as logits.txt or layers.0.q.acc.txt"
        )
    return {name_in(path, path.stem): read_numbers(text, str(path))}


def name_in(path: Path, name: str) -> str:
    """The stage of a name in a file, which must be one."""
    stage = stage_name(name)
    if stage is None:
        raise ValueError(
            f"{path}: expected the name of a stage, as logits, layers.0.q.acc or "
            f"model.layers.0.self_attn.q_proj, found {name!r:.80}"
        )
    return stage


def read_text(path: Path) -> str:
    """The text of a file."""
    if (size := path.stat().st_size) > LARGEST_TEXT:
        raise ValueError(f"{path}: expected at most {LARGEST_TEXT} bytes, found {size}")
    data = path.read_bytes()
    wide = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # PowerShell's >
    try:
        return data.decode("utf-16" if wide else "utf-8-sig")
    except UnicodeDecodeError as error:
        found = f"byte {error.object[error.start]:#x}"
        raise ValueError(
            f"{path}: expected a text, .npy, .npz or .trace, found {found}"
        ) from None


def read_numbers(text: str, where: str) -> Seen:
    """The numbers of a text, and how exactly they are written."""
    words = re.sub(r"[][(){},;]", " ", text).split()
    for word in words:
        if not NUMBER.fullmatch(word):
            raise ValueError(f"{where}: expected numbers, found {word!r:.80}")
    if not words:
        raise ValueError(f"{where}: expected numbers, found none")
    values = np.array(words, np.float64)
    half_a_bit = np.spacing(np.abs(values).astype(np.float32)).astype(np.float64) / 2
    return Seen(values, np.fmax(rounding_of(words), half_a_bit))


def rounding_of(words: list[str]) -> float | NDArray[np.float64]:
    """Half a unit of the last digit: the same for all with %f, else as %g has it.

    Where zeros at the end are left out, both may be meant (NumPy prints as %f does).
    """
    decimals = {len(word.partition(".")[2]) for word in words}
    is_plain = not any(set(word) & set("eEnN") for word in words)
    fixed = 0.5 * 10.0 ** -max(decimals) if is_plain else 0.0
    if len(decimals) == 1 and is_plain:
        return fixed
    digits = max(len(re.sub(r"[eE].*|\D", "", word).lstrip("0")) for word in words)
    size = np.abs(np.array(words, np.float64))
    size = np.where(np.isfinite(size) & (size > 0), size, 1)
    return np.fmax(0.5 * 10.0 ** (np.floor(np.log10(size)) - max(digits, 1) + 1), fixed)
