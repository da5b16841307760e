"""Bugs of the weights: bytes read otherwise, scales lost, masters rounded otherwise.

Twenty bytes of a file are enough to see most of them. As they leave the number of -1, 0
and +1 as it is, no statistics shows them, and a model with shuffled weights still says
something.
"""

from minibitnet.golden.zoo.bug import Bug, Change
from minibitnet.golden.zoo.layouts import I2_S, LAYOUTS, PARTED, UNPACK

MAP = "np.int8([0, 1, -1, 0])["
TERNARY = "np.clip(np.rint(W / scale), -1, 1)"

WEIGHTS = (
    Bug(
        name="high-bits-first",
        where="m96-chan/0xBitNet",
        right="(0, 2, 4, 6)",
        wrong="(6, 4, 2, 0)",
        symptom="Nonsense. All counts of -1, 0 and +1 are right.",
        first_stage="q.acc",
        look_for="the shifts of the four codes in a byte. This file has the first band "
        "in the lowest bits; GGUF's I2_S has its first group in the highest.",
    ),
    Bug(
        name="neighbouring-rows",
        where="tinygrad/tinygrad#10591",
        right=UNPACK,
        wrong="    rows = np.stack(bands, axis=1).reshape(-1, packed.shape[1])\n"
        "    return rows[:M].astype(np.int8) - np.int8(1)",
        symptom="Nonsense. All counts of -1, 0 and +1 are right.",
        first_stage="q.acc",
        look_for="which rows of a matrix are in a byte: r, R + r, 2R + r and 3R + r, a "
        "quarter of the matrix apart, not 4r to 4r + 3.",
    ),
    Bug(
        name="neighbouring-columns",
        where="chrishayuk/larql#156",
        right=UNPACK,
        wrong="    flat = np.stack(bands, axis=2).reshape(-1, packed.shape[1])\n"
        "    return flat[:M].astype(np.int8) - np.int8(1)",
        symptom='Confident nonsense: "The capital of France is cluster".',
        first_stage="q.acc",
        look_for="which codes are in a byte: those of four rows in one column, not "
        "four neighbours along a row.",
    ),
    *LAYOUTS,
    Bug(
        name="code-map",
        where="gHashTag/trinity",
        right=UNPACK,
        wrong="    return np.int8([0, 1, -1, 0])[np.concatenate(bands)[:M]]",
        symptom="Nonsense, and norms that grow from layer to layer.",
        first_stage="q.acc",
        look_for="what two bits stand for: the code + 1, so 0, 1, 2 for -1, 0, +1.",
        layouts=(
            Change(
                "code-map",
                PARTED,
                PARTED.replace("to_codes(", MAP).replace("(M, N))", "(M, N)]"),
                I2_S,
            ),
        ),
    ),
    Bug(
        name="scale-divides",
        where="microsoft/BitNet#616",
        right='.get("linear_class") != "autobitlinear"',
        wrong='.get("linear_class") == "autobitlinear"',
        symptom="Fluent text, other words.",
        first_stage="q",
        look_for="weight_scale: with linear_class autobitlinear (2B4T) it multiplies, "
        "without it divides.",
    ),
    Bug(
        name="scale-missing",
        where="microsoft/BitNet#468",
        right="(x_scale * w_scale)",
        wrong="x_scale",
        symptom="Fluent text, other words: most of it is normed away, but not all.",
        first_stage="q",
        look_for="the scale of the matrix: it is another for each, and must reach the "
        "product. In I2_S it is the float32 behind all codes.",
        layouts=(
            Change(
                "scale-missing",
                'np.float32(data[-TAIL:][:4].view("<f4")[0])',
                "np.float32(1)",
                I2_S,
            ),
        ),
    ),
    Bug(
        name="ternary-twice",
        where="ggml-org/llama.cpp, conversion/bitnet.py",
        right="return unpack(stored, M), scale",
        wrong="return quantize_weights(unpack(stored, M) * scale)",
        symptom="Fluent text, other words. The codes are right, the scales are too "
        "small: times the share of weights that are not 0.",
        first_stage="q",
        look_for="a converter that makes weights ternary which are so already.",
    ),
    Bug(
        name="sign-weights",
        where="kyegomez/BitNet#35",
        right=TERNARY,
        wrong="np.sign(W - W.mean())",
        symptom="Nonsense from a trained model: no weight is 0.",
        first_stage="q.acc",
        look_for="masters made binary, as in the BitNet of 2023, not ternary.",
    ),
    Bug(
        name="truncated-weights",
        where="astramind-ai/BitMat#13",
        right=TERNARY,
        wrong="np.clip(np.trunc(W / scale), -1, 1)",
        symptom="Nonsense from a trained model: far too many weights are 0.",
        first_stage="q.acc",
        look_for="a cast to an integer where there should be a rounding.",
    ),
)
