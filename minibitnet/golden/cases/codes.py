"""Cases of integers: quantizing, packing, the product.

Ties tell apart roundings; numbers just beside a tie tell apart the orders of dividing
and multiplying; short bands tell apart layouts; loud sums tell apart types.
"""

import numpy as np
from numpy.typing import NDArray

from minibitnet.golden.cases import Case, Drawn, f32, i8, i32, uniform
from minibitnet.golden.draws import draw
from minibitnet.packing import pack

# m, x: x * (127 / m) falls on another integer than x / (m / 127) or x * 127 / m in
# float32, or than the same in float64
BESIDE_TIES = (
    *((3.6946445, 2.981898), (3.0537941, 0.10820531)),
    *((2.7651632, 1.8398134), (0.64340734, 0.16971768)),
)
# The matrices of 2B4T: M and N
REAL_SHAPES = {
    "q": (2560, 2560),
    "k": (640, 2560),
    "v": (640, 2560),
    "o": (2560, 2560),
    "gate": (6912, 2560),
    "up": (6912, 2560),
    "down": (2560, 6912),
}


def ternary(seed: int, M: int, N: int) -> NDArray[np.int8]:
    """Codes -1, 0 and +1."""
    codes: NDArray[np.int8] = draw("packed", seed, (M, N)) % 3 - np.int8(1)
    return codes.astype(np.int8)


def activations() -> list[Case]:
    """Tokens that become codes."""

    def x(name: str, why: str, values: object, seed: int | None = None) -> Case:
        inputs, stage = {"x": f32(values)}, "attn_in.codes"
        return Case(f"quantize_activations/{name}", why, inputs, {}, stage, seed=seed)

    steps = [[127, 0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 63.5, 126.5, -126.5]]
    beside = "x * (127 / largest) in float32 is not x / (largest / 127), nor float64."
    loud = uniform(3, 4, 20) * f32([[1], [1000], [1e-3], [1]])
    big = [[70000, -65505, 65504, 30000], [3e38, -1e38, 1e30, 0.25]]
    faint = [[1e-5, -5e-6, 0, 1e-6], [9e-6, -4e-6, 0, 1e-6], [1e-40, -1e-45, 0, 0]]
    drawn = uniform(4, 3, 131)
    return [
        x("ties", "A half goes to the even code, on both sides of zero.", steps),
        x("beside_ties", beside, BESIDE_TIES),
        x("zeros", "A token of zeros has codes 0, the scale 1e-5 / 127.", [[0] * 7]),
        x("faint", "The largest is taken as 1e-5 at least; subnormals too.", faint),
        x("negative", "The largest is negative: -127, not -128.", [[-3, 1, 2.99]]),
        x("huge", "Larger than float16 holds, and near the end of float32.", big),
        x("loud_token", "Each token has its own scale.", loud, 3),
        x("one", "One number in a token.", [[-0.25], [8]]),
        x("drawn", "A length that is no multiple of 5, 32 or 128.", drawn, 4),
    ]


def masters() -> list[Case]:
    """Matrices that become codes."""

    def W(name: str, why: str, values: object, seed: int | None = None) -> Case:
        return Case(f"quantize_weights/{name}", why, {"W": f32(values)}, seed=seed)

    mean = [[0.9, -0.2, 0.3, -0.7], [-1.4, 0.1, 0.6, 0]]
    outlier = [[100, 1, -1, 0.5], [0.01, 2, -40, 60]]
    rows = [[8, -4], [0.5, 0.25]]
    return [
        W("ties", "Half the mean is a tie and becomes 0.", [[0.5, 1.5, -0.5, -1.5]]),
        W("mean", "The mean of the magnitudes, not the largest or the median.", mean),
        W("zeros", "Zeros have codes 0 and the scale 1e-5.", [[0] * 5] * 3),
        W("outlier", "A few large weights.", outlier),
        W("rows", "One scale for the matrix, not for each row.", rows),
        W("drawn", "A matrix of odd sizes.", uniform(5, 7, 13), 5),
    ]


def packing() -> list[Case]:
    """Codes as bytes and back."""
    eight = i8([[-1], [0], [1], [1], [-1], [-1], [1], [0]])
    bands = "Byte r holds the rows r, R + r, 2R + r, 3R + r, lowest bits first."
    short = "M is no multiple of 4: the last band is short."
    cases = []
    for name, why, codes, seed in (
        ("bands", bands, eight, None),
        ("one_row", short, i8([[1, 0, -1, 0, 1]]), None),
        ("five_rows", short, ternary(6, 5, 9), 6),
        ("seven_rows", short, ternary(7, 7, 4), 7),
        ("forty_two_rows", short, ternary(8, 42, 10), 8),
    ):
        cases.append(Case(f"pack/{name}", why, {"codes": codes}, seed=seed))
        inputs, p = {"packed": pack(codes)}, {"M": len(codes)}
        cases.append(Case(f"unpack/{name}", why, inputs, p, seed=seed))
    return cases


def products() -> list[Case]:
    """Integer sums of every shape."""

    def case(name: str, why: str, x: NDArray[np.int8], w: NDArray[np.int8]) -> Case:
        inputs = {"x_codes": x, "packed": pack(w)}
        return Case(f"product/{name}", why, inputs, {"M": len(w)}, "q.acc", seed=9)

    N = 6912
    ones, half = np.ones(N, np.int8), np.repeat(i8([1, -1]), N // 2)
    loud = np.stack([ones, -ones, half, -half, np.resize(i8([1, 0, -1]), N)])
    x = np.stack([np.full(N, 127, np.int8), np.full(N, -128, np.int8)])
    cases = [
        case(
            "overflow",
            "Sums to 884,736 overflow int16, and in the middle of rows that end at 0.",
            x,
            loud,
        ),
        case("one", "One of each.", i8([[-128]]), i8([[-1]])),
    ]
    for T, M, N in ((3, 7, 13), (2, 42, 78), (5, 33, 131), (1, 10, 257)):
        why = "M is no multiple of 4, N of none that a kernel might like."
        name = f"{T}x{M}x{N}"
        cases.append(case(name, why, draw("codes", 9, (T, N)), ternary(10, M, N)))
    for seed, (name, (M, N)) in enumerate(REAL_SHAPES.items(), 11):
        packed = Drawn("packed", seed, (M // 4, N))
        inputs = {"x_codes": Drawn("codes", seed, (2, N)), "packed": packed}
        why = f"The shape of {name} in BitNet b1.58 2B4T."
        p = {"M": M}
        cases.append(
            Case(f"product/2b4t_{name}", why, inputs, p, f"{name}.acc", seed=seed)
        )
    return cases


def rescaling() -> list[Case]:
    """Sums back to real numbers."""
    acc = i32([[884736, -1, 0, 16777217], [3, 7, -100001, 2**20 + 1]])
    x_scale, cases = f32([[0.0123], [3.3e-7]]), []
    for name, divides, why in (
        ("multiplies", False, "A stored scale multiplies (autobitlinear, 2B4T)."),
        ("divides", True, "A stored scale divides (bitlinear)."),
    ):
        inputs = {"acc": acc, "x_scale": x_scale, "w_scale": f32([1.2109375])}
        p = {"divides": divides}
        cases.append(Case(f"rescale/{name}", why, inputs, p, "q"))
    why = "The two scales are multiplied first; all in float32."
    inputs = {
        "acc": draw("codes", 18, (2, 30)).astype(np.int32) * 97,
        "x_scale": f32([[0.007874016], [0.33333334]]),
        "w_scale": f32([0.74609375]),
    }
    p = {"divides": False}
    return [*cases, Case("rescale/order", why, inputs, p, "o", seed=18)]


def cases() -> list[Case]:
    """All of them."""
    return [*activations(), *masters(), *packing(), *products(), *rescaling()]
