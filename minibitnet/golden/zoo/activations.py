"""Bugs of activations: codes rounded otherwise, sums that overflow, norms left out.

What is rounded otherwise is off by one now and then; a text shows it late if at all.
These want to be compared code by code.
"""

from minibitnet.golden.zoo.bug import Bug

CODES = "np.rint(x * (127 / largest))"
ATTN_OUT = """\
        if model + "self_attn.attn_sub_norm.weight" in weights:
            x = stage("attn_sub_norm", norm(x, model + "self_attn.attn_sub_norm"))
        (o,) = linear(x, "attn_out", "o")"""

ACTIVATIONS = (
    Bug(
        name="truncated-codes",
        where="sgl-project/sglang-jax#1598",
        right=CODES,
        wrong="np.trunc(x * (127 / largest))",
        symptom="Nearly right: all codes are a little too small.",
        first_stage="attn_in.codes",
        look_for="a cast to int8 where there should be a rounding.",
    ),
    Bug(
        name="half-away",
        where="hw-native-sys/pypto-lib#279",
        right=CODES,
        wrong="np.trunc(x * (127 / largest) + np.copysign(np.float32(0.5), x))",
        symptom="Right, but for a code off by one now and then.",
        first_stage="attn_in.codes",
        look_for="round() of C, Rust or CUDA, which takes halves away from zero: use "
        "rint, or what rounds to even.",
    ),
    Bug(
        name="half-up",
        where="m96-chan/0xBitNet",
        right=CODES,
        wrong="np.floor(x * (127 / largest) + np.float32(0.5))",
        symptom="Right, but for a negative code off by one now and then.",
        first_stage="attn_in.codes",
        look_for="floor(x + 0.5), or Math.round of JavaScript: both take halves up.",
    ),
    Bug(
        name="zero-row",
        where="microsoft/BitNet#123",
        right="np.maximum(np.abs(x).max(axis=1, keepdims=True), np.float32(1e-5))",
        wrong="np.abs(x).max(axis=1, keepdims=True)",
        symptom="NaN behind a token whose activations are all 0, where codes are kept "
        "as floats.",
        first_stage="attn_in.scale",
        look_for="the largest activation, which is at least 1e-5 before it divides.",
    ),
    Bug(
        name="one-scale-for-all",
        where="joey00072/ohara#11, which takes it over the tokens of each channel",
        right="np.abs(x).max(axis=1, keepdims=True)",
        wrong="np.full((len(x), 1), np.abs(x).max())",
        symptom="Nearly right; a prompt read at once gives another text than one read "
        "token by token.",
        first_stage="attn_in.codes",
        look_for="the axis of the maximum: each token has a scale of its own.",
    ),
    Bug(
        name="int16-sums",
        where="microsoft/BitNet#411",
        right="x_codes.astype(np.int32) @ w_codes.astype(np.int32).T",
        wrong="(x_codes.astype(np.int16) @ w_codes.astype(np.int16).T)"
        ".astype(np.int32)",
        symptom="Right for small models; garbage where a sum leaves 16 bits.",
        first_stage="q.acc",
        look_for="the type that products are summed in: 32 bits, at the latest after "
        "64 pairs of products.",
    ),
    Bug(
        name="float32-sums",
        where="deveworld/bitnet-tt",
        right="np.square(x.astype(np.float64)).mean",
        wrong="np.square(x).mean",
        symptom="Right to six digits; now and then a code off by one, and from there "
        "other words than on the next machine.",
        first_stage="attn_norm",
        look_for="sums of floats: carried in float64 and rounded once, they do not "
        "depend on the order.",
    ),
    Bug(
        name="eps-1e-6",
        where="ggml-org/llama.cpp#2373",
        right='config["rms_norm_eps"]\n',
        wrong="1e-6\n",
        symptom="Nearly right; worst where activations are small.",
        first_stage="attn_norm",
        look_for="rms_norm_eps, which is in config.json.",
    ),
    Bug(
        name="no-sub-norms",
        where="gHashTag/trinity",
        right="in header.items():",
        wrong='in [item for item in header.items() if "sub_norm" not in item[0]]:',
        symptom="Nonsense, and norms that grow from layer to layer.",
        first_stage="attn_out.codes",
        look_for="two more norms in each layer than Llama has: before o_proj and "
        "before down_proj.",
    ),
    Bug(
        name="sub-norm-after-o",
        where="m96-chan/0xBitNet@c68c870",
        right=ATTN_OUT,
        wrong="""\
        (o,) = linear(x, "attn_out", "o")
        if model + "self_attn.attn_sub_norm.weight" in weights:
            o = norm(o, model + "self_attn.attn_sub_norm")""",
        symptom="Nonsense.",
        first_stage="attn_out.codes",
        look_for="where attn_sub_norm stands: before o_proj quantizes its input.",
    ),
    Bug(
        name="no-final-norm",
        where="awslabs/keys_values#139",
        right='h = stage("final_norm", norm(h, "model.norm")).astype(np.float64)',
        wrong="h = h.astype(np.float64)",
        symptom="The most likely token is mostly right, its probability is not.",
        first_stage="logits",
        look_for="the norm between the last layer and the head.",
    ),
)
