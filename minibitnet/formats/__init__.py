"""Layouts: the many ways in which others store the same ternary codes.

A code is -1, 0 or +1, in any program. How four or five of them share a byte, and which
four, every program decides for itself, and a file rarely says. To read one layout as
another makes every weight a wrong one, and often still gives fluent nonsense: after a
wrong activation, this is what ports get wrong most.

Each module is one layout, with the picture of its bytes: ``pack(w_codes) -> data`` and
``unpack(data, M, N) -> w_codes``, and the scale where the layout has one. The layout of
the checkpoint itself is `minibitnet.packing`.

In this order
    `i2_s`      blocks of 128 along a row, highest bits first: the published GGUF
    `tq2_0`     blocks of 256, lowest bits first, a scale each: llama.cpp
    `tq1_0`     blocks of 256, five to a byte, as fractions: llama.cpp
    `tl1`       pairs as indices of tables: bitnet.cpp on ARM
    `tl2`       threes as indices and signs: bitnet.cpp on x86
    `gpu_int2`  words for a GPU's threads
    `base3`     five to a byte, plainly
    `checks`    what all of them refuse
    `real_blocks`  an embedding of 8 or 6 bits a number
    `other_orders`  what ports have written that is no format
    `atlas`     which weights are in which byte
    `detect`    which of them bytes are in

Notes
-----
`LAYOUTS` has them by name. ``multiples`` is what M and N must be multiples of.

Examples
--------
>>> import numpy as np
>>> w_codes = np.random.default_rng(0).integers(-1, 2, (16, 768)).astype(np.int8)
>>> for name, layout in LAYOUTS.items():
...     data = layout.pack(w_codes)
...     assert (layout.unpack(data, 16, 768) == w_codes).all()
...     print(f"{name:10} {layout.bits_per_weight:.4f} {len(data)}")
packed     2.0000 3072
i2_s       2.0000 3104
i2_s_arm   2.0000 3104
i2_s_rows  2.0000 3104
tq2_0      2.0625 3168
tq1_0      1.6875 2592
tl1        2.0000 3072
tl2        1.6667 2560
gpu_int2   2.0000 3072
base3      1.6000 2464
"""

from collections.abc import Callable
from typing import NamedTuple

from minibitnet import packing
from minibitnet.arrays import I8, U8
from minibitnet.formats import base3, gpu_int2, i2_s, tl1, tl2, tq1_0, tq2_0
from minibitnet.formats.checks import check_size


class Layout(NamedTuple):
    """One way to store codes as bytes."""

    pack: Callable[[I8], U8]  # w_codes (M, N) -> data (n,)
    unpack: Callable[[U8, int, int], I8]  # data (n,), M, N -> w_codes (M, N)
    bits_per_weight: float
    multiples: tuple[int, int]  # of M and of N
    where: str


def pack_rows_in_quarters(w_codes: I8) -> U8:
    """`minibitnet.packing.pack`, its bytes in a row: w_codes (M, N) -> data (n,)."""
    return packing.pack(w_codes).reshape(-1)


def unpack_rows_in_quarters(data: U8, M: int, N: int) -> I8:
    """`minibitnet.packing.unpack` of bytes in a row: data (n,) -> w_codes (M, N).

    Raises ValueError if there is a 3, which is no code.
    """
    R = -(-M // packing.CODES_PER_BYTE)
    check_size(data, R * N)
    place = packing.find_unused_code(data.reshape(R, N))
    if place is not None:
        raise ValueError(f"data must hold codes 0, 1 and 2, got 3 in byte {place}")
    return packing.unpack(data.reshape(R, N), M)


LAYOUTS = {
    "packed": Layout(
        pack_rows_in_quarters, unpack_rows_in_quarters, 2.0, (1, 1), "safetensors"
    ),
    "i2_s": Layout(
        i2_s.pack, i2_s.unpack, i2_s.BITS_PER_WEIGHT, (1, 128), "GGUF of bitnet.cpp"
    ),
    "i2_s_arm": Layout(
        i2_s.pack_arm,
        i2_s.unpack_arm,
        i2_s.BITS_PER_WEIGHT,
        (1, 64),
        "GGUF of bitnet.cpp, ARM",
    ),
    "i2_s_rows": Layout(
        i2_s.pack_rows,
        i2_s.unpack_rows,
        i2_s.BITS_PER_WEIGHT,
        (4, 1),
        "GGUF of bitnet.cpp, x86",
    ),
    "tq2_0": Layout(
        tq2_0.pack, tq2_0.unpack, tq2_0.BITS_PER_WEIGHT, (1, 256), "GGUF of llama.cpp"
    ),
    "tq1_0": Layout(
        tq1_0.pack, tq1_0.unpack, tq1_0.BITS_PER_WEIGHT, (1, 256), "GGUF of llama.cpp"
    ),
    "tl1": Layout(
        tl1.pack, tl1.unpack, tl1.BITS_PER_WEIGHT, (1, 4), "bitnet.cpp on ARM, untiled"
    ),
    "tl2": Layout(
        tl2.pack, tl2.unpack, tl2.BITS_PER_WEIGHT, (1, 4), "bitnet.cpp on x86, untiled"
    ),
    "gpu_int2": Layout(
        gpu_int2.pack,
        gpu_int2.unpack,
        gpu_int2.BITS_PER_WEIGHT,
        (16, 32),
        "BitNet's GPU",
    ),
    "base3": Layout(base3.pack, base3.unpack, base3.BITS_PER_WEIGHT, (1, 1), "nowhere"),
}
