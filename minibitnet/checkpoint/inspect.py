"""What a checkpoint holds, counted: where its bytes go, and how many -1, 0 and +1.

A ternary model is not all ternary: at two bits a weight, the embedding of 2B4T takes
more bytes than all its matrices. And a file can be whole and wrong. A byte of zeros is
four times the code -1, which is valid; so a download that was interrupted may load and
write nonsense. A trained matrix has codes of all three kinds, and one that lacks -1 or
+1 is reported.

Examples
--------
Of five codes in one row, three are 0. The byte has room for three more rows, which are
not counted.

>>> from minibitnet.packing import pack
>>> counts = count_codes(pack(np.array([[1, 0, 0, -1, 0]], np.int8)), M=1)
>>> counts
[1, 3, 1, 0]
>>> find_faults({"up_proj": counts, "down_proj": [5, 0, 0, 0]})
['down_proj: has no +1']
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from minibitnet.arrays import U8
from minibitnet.checkpoint.assemble import is_equal
from minibitnet.checkpoint.open import Checkpoint
from minibitnet.files.progress import progress
from minibitnet.files.tensorfile import Tensor
from minibitnet.packing import unpack
from minibitnet.weights import EMBEDDING, HEAD, is_norm, is_ternary, matrices

Counts = list[int]  # how many -1, 0, +1 and 2, the unused code
PARTS = (
    "ternary matrices",
    "embedding and head",
    "norms",
    "scales",
    "others",
    "headers",
)


def is_tied(checkpoint: Checkpoint) -> bool:
    """Whether the head is the embedding: as the config says, and as the arrays show."""
    tied, tensors = checkpoint.stored.tied, checkpoint.tensors
    if tied and {HEAD, EMBEDDING} <= tensors.keys():
        return is_equal(tensors[HEAD].array, tensors[EMBEDDING].array)
    return HEAD not in tensors if tied is None else tied


def part_of(name: str) -> str:
    """Which part of a model an array belongs to."""
    if is_ternary(name):
        return "ternary matrices"
    if name in (EMBEDDING, HEAD):
        return "embedding and head"
    if name.endswith("_scale"):
        return "scales"
    return "norms" if is_norm(name) else "others"


def count_bytes(tensors: Iterable[Tensor]) -> dict[str, int]:
    """How many bytes each part takes."""
    sizes = dict.fromkeys(PARTS, 0)
    files: set[Path] = set()
    for tensor in tensors:
        sizes[part_of(tensor.name)] += tensor.nbytes
        files.add(tensor.file)
    sizes["headers"] = sum(file.stat().st_size for file in files) - sum(sizes.values())
    return sizes


def count_codes(packed: U8, M: int) -> Counts:
    """How many codes of each kind are in the M rows of a matrix.

    packed (R, N)
    """
    codes = unpack(packed, M)
    return [int(np.count_nonzero(codes == code)) for code in (-1, 0, 1, 2)]


def count_matrices(checkpoint: Checkpoint) -> dict[str, Counts]:
    """The codes of every packed matrix; none of masters, which have no codes yet."""
    rows = {f"{name}.weight": M for name, (M, _) in matrices(checkpoint.config).items()}
    packed = {
        name: (tensor, rows[inside])
        for name, tensor in checkpoint.tensors.items()
        if tensor.dtype == "U8" and (inside := name.split(".", 3)[-1]) in rows
    }
    return {
        name: count_codes(packed[name][0].array, packed[name][1])
        for name in progress(packed, "counting codes")
    }


def sum_by_kind(codes: Mapping[str, Counts]) -> dict[str, Counts]:
    """The codes of all layers together, for each kind of matrix and in all."""
    sums: dict[str, Counts] = {}
    for name, counts in codes.items():
        for kind in (name.split(".")[-2], "all"):
            before = sums.pop(kind, [0, 0, 0, 0])
            sums[kind] = [a + b for a, b in zip(before, counts, strict=True)]
    return sums


def find_faults(codes: Mapping[str, Counts]) -> list[str]:
    """What no trained model has, a line each."""
    faults = []
    for name, (minus, _, plus, unused) in codes.items():
        if unused:
            faults.append(f"{name}: {unused} codes are 3, which is unused")
        if not minus or not plus:
            faults.append(f"{name}: has no {'-1' if not minus else '+1'}")
    return faults
