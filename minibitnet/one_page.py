"""BitNet b1.58 2B4T on one page: from a checkpoint's files to the next token, with NumPy alone.

It is to be read in ten minutes and ported line by line: nothing is checked and nothing is fast.
The package around it computes the same numbers, bit for bit, and explains each step in a file of
its own.

A sum of floats is carried in float64 and rounded to float32 once, so that no order of adding
shows. Everything else is float32 or an integer. Rounding to an integer takes ties to the even one.

T tokens now, S tokens so far, D hidden size, H query heads, G key/value heads, d head size,
F feed-forward size, V vocabulary size; a matrix has M rows (outputs) and N columns (inputs).

    python -m minibitnet.one_page DIR 128000,9906,11     writes the next 20 token ids
"""

import json
import sys
from pathlib import Path

import numpy as np


def load(directory):  # -> config, weights: what config.json says, and the arrays by name
    directory, weights = Path(directory), {}
    config = {"rope_theta": 500000.0, "rms_norm_eps": 1e-5}  # what a missing key means
    config |= json.loads((directory / "config.json").read_text())
    config |= config.get("rope_parameters") or {}  # where newer files have rope_theta
    generation = directory / "generation_config.json"
    if generation.exists():  # 2B4T's config.json names only one of its two end-of-text ids
        config["eos_token_id"] = json.loads(generation.read_text())["eos_token_id"]
    for file in sorted(directory.glob("*.safetensors")):
        data = np.asarray(np.memmap(file, np.uint8, "r"))  # nothing is read before it is used
        size = int.from_bytes(data[:8].tobytes(), "little")
        header, data = json.loads(data[8 : 8 + size].tobytes()), data[8 + size :]
        header.pop("__metadata__", None)
        for name, entry in header.items():
            dtype = {"U8": "u1", "BF16": "<u2", "F16": "<f2", "F32": "<f4"}[entry["dtype"]]
            start, end = entry["data_offsets"]
            weights[name] = data[start:end].view(dtype).reshape(entry["shape"])
    return config, weights


def widen(stored):  # bfloat16, the upper half of a float32, is kept as its 16 bits
    if stored.dtype == np.uint16:
        return (stored.astype(np.uint32) << 16).view(np.float32)
    return stored.astype(np.float32)


def unpack(packed, M):  # (M / 4, N) bytes -> (M, N) codes: a byte has rows r, R + r, 2R + r, 3R + r
    bands = [packed >> shift & 3 for shift in (0, 2, 4, 6)]  # stored as code + 1
    return np.concatenate(bands)[:M].astype(np.int8) - np.int8(1)


def quantize_weights(W):  # float32 (M, N) -> codes -1, 0, +1 and one scale: only for masters
    scale = np.maximum(np.float32(np.abs(W).mean(dtype=np.float64)), np.float32(1e-5))
    return np.clip(np.rint(W / scale), -1, 1).astype(np.int8), scale


def quantize_activations(x):  # float32 (T, N) -> int8 codes (T, N) and a scale per token (T, 1)
    largest = np.maximum(np.abs(x).max(axis=1, keepdims=True), np.float32(1e-5))
    codes = np.clip(np.rint(x * (127 / largest)), -128, 127).astype(np.int8)
    return codes, largest / 127


def ternary(config, weights, name, M):  # -> codes (M, N) and the scale that multiplies them
    stored = weights[name + ".weight"]
    if stored.dtype != np.uint8:  # a master in full precision
        return quantize_weights(widen(stored))
    scale = widen(weights[name + ".weight_scale"]).reshape(())
    how = config["quantization_config"]  # in 2B4T, and where it is so called, it multiplies
    if how.get("linear_class") != "autobitlinear" and "offline_quantization" not in how:
        scale = 1 / scale  # elsewhere it is stored the other way round
    return unpack(stored, M), scale


def rms_norm(x, gain, eps):  # (T, N)
    mean_square = np.square(x.astype(np.float64)).mean(axis=1, keepdims=True)
    return x / np.sqrt(mean_square + eps).astype(np.float32) * gain


def rotations(positions, d, theta):  # cosine and sine (T, 1, d / 2) of each pair's angle
    exponents = np.arange(0, d, 2, dtype=np.float32) / np.float32(d)
    frequencies = 1 / (theta ** exponents.astype(np.float64)).astype(np.float32)
    angles = (positions.astype(np.float32)[:, None, None] * frequencies).astype(np.float64)
    return np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)


def rotate(x, cos, sin):  # (T, heads, d): coordinate j is paired with j + d / 2, not with j + 1
    first, second = np.split(x, 2, axis=2)
    return np.concatenate([first * cos - second * sin, second * cos + first * sin], axis=2)


def softmax(scores):  # float64 (S,)
    powers = np.exp(scores - scores.max())
    return powers / powers.sum()


def relu2(gate):
    return np.square(np.maximum(gate, 0))


def silu(gate):  # other models only: in 2B4T it gives fluent nonsense
    wide = gate.astype(np.float64)
    return (wide / (1 + np.exp(-wide))).astype(np.float32)


def forward(config, weights, ids, cache, trace=None):  # ids (T,) -> logits (T, V)
    H, G = config["num_attention_heads"], config["num_key_value_heads"]
    D, F = config["hidden_size"], config["intermediate_size"]
    d, eps = config.get("head_dim") or D // H, config["rms_norm_eps"]
    T, start = len(ids), len(cache[0][0]) if cache else 0  # the cache holds `start` tokens
    matrices = {  # by stage: the name in the file, and M
        "q": ("self_attn.q_proj", H * d), "k": ("self_attn.k_proj", G * d),
        "v": ("self_attn.v_proj", G * d), "o": ("self_attn.o_proj", D),
        "gate": ("mlp.gate_proj", F), "up": ("mlp.up_proj", F), "down": ("mlp.down_proj", D),
    }  # fmt: skip
    prefix = ""

    def stage(name, array):  # every array of the computation has a name
        if trace is not None:
            trace[prefix + name] = array
        return array

    def norm(x, name):
        return rms_norm(x, widen(weights[name + ".weight"]), eps)

    def linear(x, name, *outputs):  # matrices that read the same input
        x_codes, x_scale = quantize_activations(x)
        stage(name + ".codes", x_codes)
        stage(name + ".scale", x_scale)
        ys = []
        for output in outputs:
            matrix, M = matrices[output]
            w_codes, w_scale = ternary(config, weights, model + matrix, M)
            acc = stage(output + ".acc", x_codes.astype(np.int32) @ w_codes.astype(np.int32).T)
            ys.append(stage(output, acc.astype(np.float32) * (x_scale * w_scale)))
        return ys

    embedding = weights["model.embed_tokens.weight"]
    cos, sin = rotations(np.arange(start, start + T), d, config["rope_theta"])
    h = stage("embed", widen(embedding[ids]))  # (T, D)
    for layer in range(config["num_hidden_layers"]):
        prefix, model = f"layers.{layer}.", f"model.layers.{layer}."

        x = stage("attn_norm", norm(h, model + "input_layernorm"))
        q, k, v = linear(x, "attn_in", "q", "k", "v")
        q = stage("q.rope", rotate(q.reshape(T, H, d), cos, sin))
        k = stage("k.rope", rotate(k.reshape(T, G, d), cos, sin))
        v = v.reshape(T, G, d)
        if start:
            k, v = np.concatenate([cache[layer][0], k]), np.concatenate([cache[layer][1], v])
        cache[layer : layer + 1] = [(k, v)]  # (S, G, d) each, S = start + T
        attn_weights = np.zeros((H, T, start + T), np.float32)
        attn = np.zeros((T, H, d), np.float32)
        for head in range(H):
            group = head // (H // G)  # H / G neighbours share a key and a value
            keys, values = k[:, group].astype(np.float64), v[:, group].astype(np.float64)
            for t in range(T):
                seen = start + t + 1  # a token sees itself and those before it
                scores = keys[:seen] @ q[t, head].astype(np.float64) * d**-0.5
                probabilities = softmax(scores)
                attn_weights[head, t, :seen] = probabilities  # only to be looked at
                attn[t, head] = probabilities @ values[:seen]
        stage("attn_weights", attn_weights)
        x = stage("attn", attn.reshape(T, H * d))
        if model + "self_attn.attn_sub_norm.weight" in weights:
            x = stage("attn_sub_norm", norm(x, model + "self_attn.attn_sub_norm"))
        (o,) = linear(x, "attn_out", "o")
        h = stage("attn_residual", h + o)

        x = stage("ffn_norm", norm(h, model + "post_attention_layernorm"))
        gate, up = linear(x, "ffn_in", "gate", "up")
        activation = relu2 if config["hidden_act"] == "relu2" else silu
        x = stage("relu2_gate", activation(gate) * up)
        if model + "mlp.ffn_sub_norm.weight" in weights:
            x = stage("ffn_sub_norm", norm(x, model + "mlp.ffn_sub_norm"))
        (down,) = linear(x, "ffn_out", "down")
        h = stage("ffn_residual", h + down)

    prefix = ""
    h = stage("final_norm", norm(h, "model.norm")).astype(np.float64)
    lm_head = weights.get("lm_head.weight", embedding)  # in 2B4T the embedding once more
    blocks = [lm_head[row : row + 4096] for row in range(0, len(lm_head), 4096)]
    logits = [(h @ widen(block).T.astype(np.float64)).astype(np.float32) for block in blocks]
    return stage("logits", np.concatenate(logits, axis=1))


def generate(config, weights, ids, n):  # -> at most n new ids, each time the most likely one
    new, cache, unread = [], [], list(ids)
    for _ in range(n):
        logits = forward(config, weights, unread, cache)[-1]
        new.append(int(logits.argmax()))  # of equals the first
        if new[-1] in np.ravel(config["eos_token_id"]):
            break
        unread = new[-1:]
    return new


if __name__ == "__main__":
    print(*generate(*load(sys.argv[1]), [int(token) for token in sys.argv[2].split(",")], 20))
