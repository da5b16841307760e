"""Bugs of attention: positions turned otherwise, heads mixed up, the future seen.

The first token has nothing to look back at and position 0 turns nothing, so that most
of these leave it right. Compare a text of several tokens, and one read in pieces.
"""

from minibitnet.golden.zoo.bug import Bug

POSITIONS = "np.arange(start, start + T)"
HALVES = (
    "    first, second = np.split(x, 2, axis=2)\n"
    "    return np.concatenate([first * cos - second * sin, "
    "second * cos + first * sin], axis=2)"
)

ATTENTION = (
    Bug(
        name="rope-neighbours",
        where="NeuraLegion/shainet#111",
        right=HALVES,
        wrong="""\
    first, second = x[:, :, 0::2], x[:, :, 1::2]
    pairs = [first * cos - second * sin, second * cos + first * sin]
    return np.stack(pairs, axis=3).reshape(x.shape)""",
        symptom="The first token or two are right, the rest is not.",
        first_stage="q.rope",
        look_for="which coordinates turn together: j and j + d/2, not 2j and 2j + 1.",
    ),
    Bug(
        name="theta-10000",
        where="meta-pytorch/gpt-fast#179",
        right='d, config["rope_theta"])',
        wrong="d, 10000.0)",
        symptom="Right at first, worse with every hundred tokens.",
        first_stage="q.rope",
        look_for="rope_theta, which is in config.json: 500000 for 2B4T.",
    ),
    Bug(
        name="position-restarts",
        where="Blaizzy/mlx-vlm#1983",
        right=POSITIONS,
        wrong="np.arange(T)",
        symptom="The first new token is right; the rest repeats or falls apart.",
        first_stage="q.rope",
        look_for="the position of a token that continues: it counts from where the "
        "cache stands.",
    ),
    Bug(
        name="position-one-late",
        where="microsoft/onnxruntime-genai#2354",
        right=POSITIONS,
        wrong="np.arange(start, start + T) + bool(start)",
        symptom="The first new token is right; the rest is a little worse.",
        first_stage="q.rope",
        look_for="the position of the first token after the prompt: the number of "
        "tokens before it, not one more.",
    ),
    Bug(
        name="keys-turned-per-head",
        where="gHashTag/trinity",
        right='        k = stage("k.rope", rotate(k.reshape(T, G, d), cos, sin))',
        wrong="""\
        k = k.reshape(T, G, d)
        for _ in range(H // G): k = rotate(k, cos, sin)
        k = stage("k.rope", k)""",
        symptom="The first token is right, the rest is not.",
        first_stage="k.rope",
        look_for="a loop over query heads that turns the key they share again and "
        "again.",
    ),
    Bug(
        name="modulo-heads",
        where="onnx/onnx#7274",
        right="head // (H // G)",
        wrong="head % G",
        symptom="Nonsense from the second token on.",
        first_stage="attn_weights",
        look_for="which key a query head reads: h // (H // G), as repeat_interleave "
        "lays them out, not h % G, as tile does.",
    ),
    Bug(
        name="twice-the-heads",
        where="m96-chan/0xBitNet@db35db4",
        right='H, G = config["num_attention_heads"], config["num_key_value_heads"]',
        wrong='H, G = 2 * config["num_attention_heads"], '
        '2 * config["num_key_value_heads"]',
        symptom="Nonsense from the second token on.",
        first_stage="q.rope",
        look_for="the number of heads and their size: 20 of 128 in 2B4T, not 32 of 80.",
    ),
    Bug(
        name="no-causal-mask",
        where="lablup/mlxcel#998",
        right="seen = start + t + 1",
        wrong="seen = start + T",
        symptom="A prompt read at once gives nonsense, token by token it does not.",
        first_stage="attn_weights",
        look_for="the mask, if a prompt is read at once: a token sees itself and those "
        "before it.",
    ),
    Bug(
        name="hidden-size-scores",
        where="FareedKhan-dev/train-llm-from-scratch#3",
        right="* d**-0.5",
        wrong="* D**-0.5",
        symptom="Dull text: every token looks at all others alike.",
        first_stage="attn_weights",
        look_for="what scores are divided by: the root of the head's size.",
    ),
)
