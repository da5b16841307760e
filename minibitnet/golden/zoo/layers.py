"""Bugs of the rest: the feed-forward, the embedding, the head, the text.

A port with the wrong activation speaks fluently, and one that reads a text without its
first token answers; so these stay unnoticed longest.
"""

from minibitnet.golden.zoo.bug import Bug

START = "    T, start = len(ids), len(cache[0][0]) if cache else 0"
BPE = "minibitnet.bpe"

LAYERS = (
    Bug(
        name="silu",
        where="microsoft/BitNet#588",
        right='relu2 if config["hidden_act"] == "relu2" else silu',
        wrong="silu",
        symptom="Fluent text; perplexity 99.8 where 17.1 is right.",
        first_stage="relu2_gate",
        look_for="the activation of the feed-forward: hidden_act in config.json, the "
        "squared ReLU.",
    ),
    Bug(
        name="gate-up-swapped",
        where="ml-explore/mlx-lm#767",
        right="activation(gate) * up",
        wrong="activation(up) * gate",
        symptom="Nonsense, and norms of the usual size.",
        first_stage="relu2_gate",
        look_for="which of the two matrices is the gate, above all where they are "
        "stored as one.",
    ),
    Bug(
        name="float16-gate",
        where="lablup/mlxcel#287",
        right='stage("relu2_gate", activation(gate) * up)',
        wrong='stage("relu2_gate", (activation(gate).astype(np.float16) * '
        "up.astype(np.float16)).astype(np.float32))",
        symptom="Infinity, then NaN, in a trained model from the first layer on.",
        first_stage="relu2_gate",
        look_for="float16 between gate and down: the product goes to 1e10 in 2B4T, "
        "float16 to 65504.",
    ),
    Bug(
        name="shard-edge",
        where="m96-chan/0xBitNet@b5514fd",
        right="widen(embedding[ids])",
        wrong="widen(embedding[np.minimum(ids, len(embedding) // 2)])",
        symptom="Begin-of-text, the template and rare words are not understood.",
        first_stage="embed",
        look_for="rows of the embedding behind the end of a shard or buffer.",
    ),
    Bug(
        name="head-always-tied",
        where="huggingface/transformers#42612",
        right='weights.get("lm_head.weight", embedding)',
        wrong="embedding",
        symptom="Nonsense from a model that has a head of its own.",
        first_stage="logits",
        look_for="lm_head.weight: where the file has it, it is the head.",
    ),
    Bug(
        name="no-bos",
        where="ngxson/wllama#69",
        right=START,
        wrong=f"    ids = ids if cache else ids[1:]\n{START}",
        symptom="Worse answers, or none.",
        first_stage="embed",
        look_for="begin-of-text, which stands before every text: all tokens are one "
        "position too early.",
    ),
    Bug(
        name="double-bos",
        where="abetlen/llama-cpp-python#1501",
        right=START,
        wrong=f"    ids = ids if cache else [ids[0], *ids]\n{START}",
        symptom="Slightly worse answers.",
        first_stage="embed",
        look_for="begin-of-text put there by the tokenizer and by the template.",
    ),
    Bug(
        name="one-end-only",
        where="ikawrakow/ik_llama.cpp#339",
        right="if generation.exists():",
        wrong="if False:",
        symptom="The answer does not stop, and goes on with both roles.",
        first_stage="generate",
        look_for="the ids that end a text: 128001 and 128009, which only "
        "generation_config.json has.",
    ),
    Bug(
        name="default-pre-tokenizer",
        where="ggml-org/llama.cpp#6936",
        right=r'r"|\p{N}{1,3}"',
        wrong=r'r"| ?\p{N}+"',
        symptom="Worse answers, above all with numbers.",
        first_stage="ids",
        look_for="how a text is cut before it is encoded: tokenizer.ggml.pre in a GGUF "
        "file, or the pattern of tokenizer.json.",
        module=BPE,
    ),
    Bug(
        name="merges-first",
        where="ggml-org/llama.cpp#7193",
        right="if self.ignore_merges and piece in self.vocabulary:",
        wrong="if False:",
        symptom="Some words, mostly not English ones, in three tokens for one.",
        first_stage="ids",
        look_for="ignore_merges in tokenizer.json: a piece that is in the vocabulary "
        "is one token.",
        module=BPE,
    ),
)
