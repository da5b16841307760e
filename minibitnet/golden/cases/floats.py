"""Cases of real numbers: norms, RoPE, attention, the gate, logits.

Loud and faint tokens tell apart where numbers overflow and where eps counts; the map of
heads to groups is seen where every group has another value; long sums tell float64 from
float32.
"""

import numpy as np

from minibitnet.golden.cases import Case, f32, i32, uniform
from minibitnet.golden.draws import draw


def norms() -> list[Case]:
    """RMSNorm."""

    def case(
        name: str, why: str, x: object, stage: str = "attn_norm", eps: float = 1e-5
    ) -> Case:
        values = f32(x)
        gain = uniform(20, values.shape[1]) + np.float32(1.5)
        inputs, p = {"x": values, "gain": gain}, {"eps": eps}
        return Case(f"rms_norm/{name}", why, inputs, p, stage, seed=20)

    zeros = "A token of zeros stays zero; eps keeps the division from failing."
    faint, small = (
        "eps counts: the squares are smaller.",
        uniform(21, 2, 42, scale=1e-4),
    )
    wide = "A long mean, as in the sub-norm of 2B4T: in float64, rounded once."
    return [
        case("drawn", "Three tokens of a length like 42.", uniform(22, 3, 42)),
        case(
            "loud",
            "Squares up to 1e13, as behind squared ReLU.",
            uniform(23, 3, 40, scale=3e6),
        ),
        case(
            "squares_overflow",
            "The squares overflow float32.",
            uniform(24, 2, 10, scale=3e19),
        ),
        case("faint", faint, small),
        case("faint_other_eps", faint, small, eps=1e-6),
        case("zeros", zeros, [[0] * 8, [1, *[0] * 7]]),
        case("wide", wide, uniform(25, 1, 6912, scale=50), "ffn_sub_norm"),
    ]


def rope() -> list[Case]:
    """Angles, and the turning."""

    def angles(name: str, why: str, positions: list[int], d: int, theta: float) -> Case:
        inputs = {"positions": i32(positions)}
        return Case(f"rotations/{name}", why, inputs, {"d": d, "theta": theta})

    def turn(name: str, why: str, heads: int, d: int, seed: int) -> Case:
        angle = uniform(seed + 1, 3, d // 2, scale=3).astype(np.float64)
        cos, sin = np.cos(angle).round(6), np.sin(angle).round(6)
        x = uniform(seed, 3, heads, d)
        inputs = {"x": x, "cos": f32(cos), "sin": f32(sin)}
        return Case(f"rotate/{name}", why, inputs, {}, "q.rope", seed=seed)

    quarter = {
        "x": f32([[[1, 2, 3, 4]]]),
        "cos": f32([[0, 1]]),
        "sin": f32([[1, 0]]),
    }
    return [
        angles("2b4t", "Positions 0, 1 and the last of 2B4T.", [0, 1, 4095], 128, 5e5),
        angles(
            "small",
            "Another theta, pairs that are no power of 2.",
            [0, 1, 2, 63],
            6,
            1e4,
        ),
        angles("two", "One pair alone.", [7], 2, 1e4),
        Case(
            "rotate/quarter",
            "Pair 0 a quarter turn: (1, 3) becomes (-3, 1); pair 1 stays.",
            quarter,
            {},
            "q.rope",
        ),
        turn("heads", "Every head of a token by the same angles.", 4, 6, 26),
        turn("2b4t", "Heads of 128.", 2, 128, 28),
    ]


def attention() -> list[Case]:
    """What tokens gather."""
    cases = []
    for H, G in ((4, 4), (4, 2), (6, 2), (8, 2), (6, 1)):
        values = np.arange(1, G + 1, dtype=np.float32)[None, :, None]
        inputs = {
            "q": np.zeros((1, H, 4), np.float32),
            "k": np.ones((2, G, 4), np.float32),
            "v": np.broadcast_to(values, (2, G, 4)).copy(),
        }
        why = f"Head h reads group h // {H // G}: the value is the group's number."
        cases.append(Case(f"attend/groups_{H}_{G}", why, inputs, {}, "attn"))

    def case(
        name: str, why: str, T: int, S: int, H: int, G: int, d: int, scale: float = 2
    ) -> Case:
        inputs = {
            "q": uniform(30, T, H, d, scale=scale),
            "k": uniform(31, S, G, d, scale=scale),
            "v": uniform(32, S, G, d),
        }
        return Case(f"attend/{name}", why, inputs, {}, "attn", seed=30)

    return [
        *cases,
        case("causal", "A token sees itself and those before it.", 5, 5, 4, 2, 6),
        case(
            "continued", "Two tokens after five that are in the cache.", 2, 7, 4, 2, 6
        ),
        case("one_token", "One token: the softmax of one score is 1.", 1, 1, 4, 1, 6),
        case("many", "A softmax over 400 tokens.", 1, 400, 2, 1, 4),
        case("2b4t", "Heads as in 2B4T: 20 to 5, of 128 numbers.", 2, 3, 20, 5, 128, 1),
        case(
            "loud",
            "Scores of some hundred: exp overflows unless the largest is subtracted.",
            2,
            6,
            2,
            1,
            4,
            40,
        ),
    ]


def gate() -> list[Case]:
    """Squared ReLU and SiLU."""

    def case(
        name: str, why: str, gate: object, up: object, kind: str = "relu2"
    ) -> Case:
        inputs, p = {"gate": f32(gate), "up": f32(up)}, {"activation": kind}
        return Case(f"relu2_gate/{name}", why, inputs, p, "relu2_gate")

    numbers = [[-2, 0.5, 3, -0.0, 1e-3], [1, -1, 0, 2, -100]]
    up = [[10, 20, 100, -7, 3], [-1, 5, 2, 0.25, -3]]
    loud = [[256, 300, 1e5, -3e4, 2e3]], [[1, -2, 1e4, 9, 3e5]]
    low = [[-700, 30, 1e5, -20.5, -88]], [[1e4, -2, 1e4, 9, 3e5]]
    return [
        case("relu2", "A negative gate shuts; a positive one is squared.", numbers, up),
        case("overflow", "More than float16 holds: 65504.", *loud),
        case(
            "drawn",
            "Many at once.",
            uniform(33, 2, 78, scale=9),
            uniform(34, 2, 78, scale=9),
        ),
        case("silu", "SiLU, for other models.", numbers, up, "silu"),
        case("silu_loud", "Far below zero SiLU is nearly zero.", *low, "silu"),
    ]


def head() -> list[Case]:
    """Embedding and logits."""
    bits = [0x3F80, 0xC049, 0x0000, 0x0001, 0x0080, 0x7F7F, 0xFF7F, 0x4780]
    why = "The bits are the upper half of a float32; read as float16 1 would be 1.875."
    wide = "A long sum, as in 2B4T: in float64, rounded once."
    cases = [Case("widen/odd", why, {"bits": np.array([bits], np.uint16)}, {}, "embed")]
    for name, why, T, D, V in (
        ("drawn", "Every row of the head, for each token.", 3, 42, 33),
        ("wide", wide, 1, 2560, 4),
    ):
        inputs = {"h": uniform(35, T, D, scale=4), "head": draw("bfloats", 36, (V, D))}
        cases.append(Case(f"logits/{name}", why, inputs, {}, "logits", seed=35))
    return cases


def cases() -> list[Case]:
    """All of them."""
    return [*norms(), *rope(), *attention(), *gate(), *head()]
