r"""Other arithmetics: the page in other precisions, as other programs compute it.

Most programs that run this model do not multiply integers. They multiply the codes by
their scale first, in float32 or bfloat16, and add up rounded numbers. None of that is a
mistake, and none of it gives the same numbers. Here each is the page with a few lines
changed, as a bug of the zoo is.

Notes
-----
From the contract down::

    dequantized  real = codes * scale in float32; y = (sum of real * w_codes) * w_scale
    float32      the same as torch computes it: real = codes / s, s = 127 * (1 / max)
    bfloat16     transformers as users run it: float32's, and rounded to bfloat16,
                 8 bits, after every step: each sum, each product behind it, each norm
                 twice, cosines, scores, probabilities, logits; scales, too

Torch computes ``127 / x`` as ``127 * (1 / x)``, which is another float32 for one x in
four. Where an activation lies in the middle between two codes, it falls on the other
one. Of the differences between the contract and transformers in float32 this is the
first and the largest.

Sums are carried in float64, as in the contract, so that a rung has the same numbers on
every machine. A real program adds up in float32, in an order of its own; before the
result is rounded to bfloat16 that hardly shows, and the last rung has most of
transformers' own bits (tests/golden/test_rungs.py).

Only the arithmetic of ``AutoBitLinear`` is here: packed weights whose scale multiplies,
as in 2B4T.

References
----------
Hugging Face transformers 5.23, integrations/bitnet.py, ``AutoBitLinear`` and
``ActQuant``; models/bitnet/modeling_bitnet.py, eager attention.

Examples
--------
Half of the largest number lies in the middle between the codes 63 and 64. Whether it is
found below or above depends on how the scale was rounded.

>>> import numpy as np
>>> from minibitnet import one_page
>>> from minibitnet.golden.zoo import mutate
>>> x = np.array([[15, 7.5, 0]], np.float32)
>>> one_page.quantize_activations(x)[0]
array([[127,  63,   0]], dtype=int8)
>>> mutate(*RUNGS["float32"]).quantize_activations(x)[0]
array([[127,  64,   0]], dtype=int8)
"""

from collections.abc import Mapping

from minibitnet.golden.zoo.bug import Change

PRODUCT = """\
            acc = stage(output + ".acc", x_codes.astype(np.int32) @ \
w_codes.astype(np.int32).T)
            ys.append(stage(output, acc.astype(np.float32) * (x_scale * w_scale)))
"""
RECIPROCAL = ("x * (127 / largest)", "x * (127 * (1 / largest))")
LARGEST = """\
            largest = np.maximum(np.abs(x).max(axis=1, keepdims=True), np.float32(1e-5))
"""
IMPORT = "import numpy as np\nfrom minibitnet.bf16 import narrow\n"
ROUNDING = """\
def bf16(x):
    return widen(narrow(x.astype(np.float32)))


"""


def changes(name: str, *texts: tuple[str, str]) -> tuple[Change, ...]:
    """What the page says, and what a program of that name says there."""
    return tuple(Change(name, right, wrong) for right, wrong in texts)


DEQUANTIZED = changes(
    "dequantized",
    (
        PRODUCT,
        """\
            real = (x_codes * x_scale).astype(np.float64)
            y = (real @ w_codes.T.astype(np.float64)).astype(np.float32)
            ys.append(stage(output, y * w_scale))
""",
    ),
)
FLOAT32 = changes(
    "float32",
    RECIPROCAL,
    (
        PRODUCT,
        LARGEST
        + """\
            real = (x_codes / (127 * (1 / largest))).astype(np.float64)
            y = (real @ w_codes.T.astype(np.float64)).astype(np.float32)
            ys.append(stage(output, y * w_scale))
""",
    ),
)
BFLOAT16 = changes(
    "bfloat16",
    ("import numpy as np\n", IMPORT),
    ("def unpack(packed, M):", f"{ROUNDING}def unpack(packed, M):"),
    RECIPROCAL,
    (
        "x / np.sqrt(mean_square + eps).astype(np.float32) * gain",
        "bf16(bf16(x * (1 / np.sqrt((mean_square + eps).astype(np.float32)))) * gain)",
    ),
    (
        "np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)",
        "bf16(np.cos(angles)), bf16(np.sin(angles))",
    ),
    ("first * cos - second * sin", "bf16(bf16(first * cos) - bf16(second * sin))"),
    ("second * cos + first * sin", "bf16(bf16(second * cos) + bf16(first * sin))"),
    (
        "scores = keys[:seen] @ q[t, head].astype(np.float64) * d**-0.5",
        "scores = bf16(bf16(keys[:seen] @ q[t, head]) * np.float32(d**-0.5))",
    ),
    ("= softmax(scores)", "= bf16(softmax(scores.astype(np.float64)))"),
    ("attn.reshape(T, H * d)", "bf16(attn.reshape(T, H * d))"),
    (
        PRODUCT,
        LARGEST
        + """\
            real = bf16(x_codes / (127 * (1 / largest))).astype(np.float64)
            y = bf16(real @ w_codes.T.astype(np.float64))
            ys.append(stage(output, bf16(y * bf16(w_scale))))
""",
    ),
    ("h + o)", "bf16(h + o))"),
    ("activation(gate) * up)", "bf16(bf16(activation(gate)) * up))"),
    ("h + down)", "bf16(h + down))"),
    (
        "(h @ widen(block).T.astype(np.float64)).astype(np.float32) for",
        "bf16(h @ widen(block).T.astype(np.float64)) for",
    ),
)
RUNGS: Mapping[str, tuple[Change, ...]] = {
    "dequantized": DEQUANTIZED,
    "float32": FLOAT32,
    "bfloat16": BFLOAT16,
}
