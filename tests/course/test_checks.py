"""The checks: what is right passes, however it is written; what is wrong does not."""

import importlib
import json
import math

import numpy as np
import pytest

from minibitnet.absmax import quantize_activations
from minibitnet.absmean import quantize_weights
from minibitnet.course.difference import same
from minibitnet.matmul import ternary_matmul
from minibitnet.one_page import rms_norm


def check(name):
    module, exercise = name.split(".")
    found = importlib.import_module(f"minibitnet.course.{module}")
    return getattr(found, f"check_{exercise}")


# --- absmean, absmax


def weights_in_a_loop(W):
    gamma = sum(abs(float(w)) for w in W.ravel()) / W.size
    return [[max(-1, min(1, round(w / gamma))) for w in row] for row in W.tolist()]


def weights_by_thresholds(W):
    half = np.abs(W).mean() / 2
    return (W > half).astype(int) - (W < -half)


def weights_for_the_example(W):
    return np.array([[1, -1, 0, -1], [1, 1, -1, 0]])


def activations_in_a_loop(x):
    rows = []
    for row in x.astype(np.float64):
        scale = 127 / max(max(abs(value) for value in row), 1e-5)
        rows.append([round(value * scale) for value in row])
    return rows


def activations_by_division(x):
    scale = np.abs(x).max(1)[:, None].clip(1e-5) / np.float32(127)
    return np.clip(np.rint(x / scale), -128, 127).astype(np.int8)


def activations_in_place(x):
    x *= 127 / np.maximum(np.abs(x).max(axis=1, keepdims=True), 1e-5)
    return np.rint(x, out=x)


# --- packing, matmul, bitlinear


def unpack_in_a_loop(packed):
    R, N = packed.shape
    out = np.zeros((4 * R, N), np.int64)
    for (r, n), byte in np.ndenumerate(packed):
        for k in range(4):
            out[k * R + r, n] = int(byte) // 4**k % 4 - 1
    return out


def unpack_by_broadcasting(packed):
    bands = (packed[None] >> np.uint8([0, 2, 4, 6])[:, None, None]) & 3
    return bands.reshape(-1, packed.shape[1]).astype(np.int8) - 1


def product_in_a_loop(x_codes, w_codes):
    def total(x, w):
        added = sum(a for a, b in zip(x, w, strict=True) if b == 1)
        return added - sum(a for a, b in zip(x, w, strict=True) if b == -1)

    return [[total(x, w) for w in w_codes.tolist()] for x in x_codes.tolist()]


def product_by_where(x_codes, w_codes):
    wide = x_codes[:, None].astype(np.int32)
    return np.where(w_codes == 1, wide, np.where(w_codes == -1, -wide, 0)).sum(axis=2)


def product_in_float32(x_codes, w_codes):
    return x_codes.astype(np.float32) @ w_codes.astype(np.float32).T


def product_in_16_bits(x_codes, w_codes):
    added = [x_codes[:, w == 1].sum(axis=1, dtype=np.int16) for w in w_codes]
    taken = [x_codes[:, w == -1].sum(axis=1, dtype=np.int16) for w in w_codes]
    return np.transpose(added) - np.transpose(taken)


def product_in_float16(x_codes, w_codes):
    return x_codes.astype(np.float16) @ w_codes.astype(np.float16).T


def product_in_one_place(x_codes, w_codes, out=np.zeros((9, 9), np.int64)):  # noqa: B008
    T, M = len(x_codes), len(w_codes)
    out[:T, :M] += product_in_float32(x_codes, w_codes).astype(int)
    return out[:T, :M]


def linear_in_another_order(x, w_codes, w_scale):
    x_codes, x_scale = quantize_activations(x)
    acc = (x_codes.astype(int) @ w_codes.T).astype("f4")
    return acc * x_scale * w_scale


def linear_token_by_token(x, w_codes, w_scale):
    out = np.zeros((len(x), len(w_codes)), np.float32)
    for t in range(len(x)):
        x_codes, x_scale = quantize_activations(x[t : t + 1])
        out[t] = ternary_matmul(x_codes, w_codes)[0] * float(x_scale[0, 0]) * w_scale
    return out


def linear_in_float64(x, w_codes, w_scale):
    x_codes, x_scale = quantize_activations(x)
    return ternary_matmul(x_codes, w_codes) * (x_scale * w_scale)


# --- rmsnorm, feedforward, rope


def norm_in_float64(x, gain, eps):
    wide = x.astype(np.float64)
    return gain * wide * (np.mean(wide**2, axis=-1, keepdims=True) + eps) ** -0.5


def norm_in_a_loop(x, gain, eps):
    out = []
    for row in x.tolist():
        root = math.sqrt(sum(v * v for v in row) / len(row) + eps)
        out.append([v / root * float(g) for v, g in zip(row, gain, strict=True)])
    return out


def gate_by_where(gate, up):
    return np.where(gate > 0, gate * gate * up, 0)


def gate_in_a_loop(gate, up):
    return [
        [max(g, 0) ** 2 * u for g, u in zip(*rows, strict=True)]
        for rows in zip(gate.tolist(), up.tolist(), strict=True)
    ]


def gate_in_place(gate, up):
    gate[gate < 0] = 0
    gate **= 2
    gate *= up
    return gate


def turn_complex(x, position, theta):
    half = len(x) // 2
    angles = position / theta ** (np.arange(half) / half)
    turned = (x[:half] + 1j * x[half:]) * np.exp(1j * angles)
    return np.concatenate([turned.real, turned.imag])


def turn_in_a_loop(x, position, theta):
    d, y = len(x), [0.0] * len(x)
    for j in range(d // 2):
        angle = position * theta ** (-2 * j / d)
        a, b = float(x[j]), float(x[j + d // 2])
        y[j] = a * math.cos(angle) - b * math.sin(angle)
        y[j + d // 2] = b * math.cos(angle) + a * math.sin(angle)
    return y


# --- attention, model, checkpoint


def gather_by_repeating(q, keys, values):
    share = len(q) // len(keys)
    keys, values = np.repeat(keys, share, axis=0), np.repeat(values, share, axis=0)
    scores = np.einsum("hd,hsd->hs", q, keys) / np.sqrt(q.shape[1])
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.einsum("hs,hsd->hd", powers / powers.sum(1, keepdims=True), values)


def gather_in_groups(q, keys, values):
    G, S, d = keys.shape
    scores = q.reshape(G, -1, d).astype(np.float64) @ keys.transpose(0, 2, 1) / d**0.5
    powers = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return (powers @ values / powers.sum(-1, keepdims=True)).reshape(q.shape)


def gather_by(group, exp=lambda s: np.exp(s - s.max())):
    def gather(q, keys, values):
        H, G, rows = len(q), len(keys), []
        for h in range(H):
            powers = exp(keys[group(h, H, G)] @ q[h] / np.sqrt(q.shape[1]))
            rows.append(powers / powers.sum() @ values[group(h, H, G)])
        return rows

    return gather


def gather_repeated(q, keys, values):
    keys, values = np.repeat(keys, len(keys), axis=0), np.repeat(values, len(keys), 0)
    return gather_by(lambda h, H, G: h)(q, keys, values)


def next_in_float64(h, gain, embedding):
    x = h[-1].astype(np.float64)
    x = x / np.sqrt(np.mean(x * x) + 1e-5) * gain
    return max(range(len(embedding)), key=lambda i: embedding[i] @ x)


def next_in_another_order(h, gain, embedding):
    root = np.sqrt(np.square(h[-1]).mean() + np.float32(1e-5))
    return (embedding @ (gain * h[-1] / root)).argmax()


def next_of_all_rows(h, gain, embedding):
    return int(np.argmax(rms_norm(h, gain, 1e-5) @ embedding.T, axis=1)[-1])


def next_without_norm(h, gain, embedding):
    return np.argmax(embedding @ (h[-1] * gain))


def matrix_by_bytes(content):
    content = bytes(content)
    length = int.from_bytes(content[:8], "little")
    shape = json.loads(content[8 : 8 + length])["a"]["shape"]
    data = content[8 + length :]
    wide = b"".join(b"\0\0" + data[n : n + 2] for n in range(0, len(data), 2))
    return np.frombuffer(wide, "<f4").reshape(shape)


def matrix_by_powers(content):
    length = int(content[:8].view(np.uint64)[0])
    bits = content[8 + length :].view(np.uint16).astype(int)
    sign, exponent, rest = bits >> 15, bits >> 7 & 255, bits & 127
    numbers = (-1.0) ** sign * 2.0 ** (exponent - 127) * (1 + rest / 128)
    shape = json.loads(bytes(content[8 : 8 + length]))["a"]["shape"]
    return numbers.reshape(shape).tolist()


# --- sampling, tokenizer, kernels, training, stages


def probs_in_a_loop(logits, temperature, top_p):
    top = max(logits)
    powers = [math.exp((x - top) / temperature) for x in logits]
    kept, mass = [], 0.0
    for n in sorted(range(len(powers)), key=lambda n: -powers[n]):
        if mass < top_p:
            kept.append(n)
            mass += powers[n] / sum(powers)
    total = sum(powers[n] for n in kept)
    return [powers[n] / total if n in kept else 0.0 for n in range(len(powers))]


def probs_in_float32(logits, temperature, top_p):
    scaled = (logits / temperature).astype(np.float32)
    probs = np.exp(scaled - scaled.max())
    probs /= probs.sum()
    order = probs.argsort()[::-1]
    count = np.searchsorted(probs[order].cumsum(), top_p) + 1
    probs[order[count:]] = 0
    return probs / probs.sum()


def probs_with_masked_logits(logits, temperature, top_p):
    x = logits / temperature
    p = np.exp(x - np.logaddexp.reduce(x))
    more_likely = np.array([p[p > own].sum() for own in p])
    x = np.where(more_likely < top_p, x, -np.inf)
    return np.exp(x - np.logaddexp.reduce(x))


def probs_naive(logits, temperature, top_p):
    powers = np.exp(logits / temperature)
    powers /= powers.sum()
    order = np.argsort(-powers)
    kept = order[np.cumsum(powers[order]) - powers[order] < top_p]
    out = np.zeros_like(powers)
    out[kept] = powers[kept]
    return out / out.sum()


def probs_of_an_ascending_sort(logits, temperature, top_p):
    powers = np.exp((logits - logits.max()) / temperature)
    powers /= powers.sum()
    order = np.argsort(powers)
    kept = order[np.cumsum(powers[order]) - powers[order] < top_p]
    out = np.zeros_like(powers)
    out[kept] = powers[kept]
    return out / out.sum()


def join_in_place(ids, left, right, new):
    ids, n = list(ids), 0
    while n < len(ids) - 1:
        if (ids[n], ids[n + 1]) == (left, right):
            ids[n : n + 2] = [new]
        n += 1
    return ids


def join_characters(ids, left, right, new):
    text = "".join(map(chr, ids)).replace(chr(left) + chr(right), chr(new))
    return [ord(letter) for letter in text]


def join_text(ids, left, right, new):
    text = ",".join(map(str, ids)).replace(f"{left},{right}", str(new))
    return [int(word) for word in text.split(",")]


def table_by_digits(x_codes):
    g = len(x_codes)
    return [
        sum((n // 3 ** (g - 1 - j) % 3 - 1) * int(x_codes[j]) for j in range(g))
        for n in range(3**g)
    ]


def table_by_product(x_codes):
    digits = np.indices((3,) * len(x_codes)).reshape(len(x_codes), -1) - 1
    return x_codes.astype(np.float64) @ digits


def dot_in_a_loop(x_planes, plus, minus):
    total = 0
    for bit in range(8):
        worth = -128 if bit == 7 else 2**bit
        for planes, add, subtract in zip(x_planes[bit], plus, minus, strict=True):
            ones = bin(int(planes & add)).count("1")
            total += worth * (ones - bin(int(planes & subtract)).count("1"))
    return total


def dot_by_bytes(x_planes, plus, minus):
    def bits(words):
        return np.unpackbits(words.view(np.uint8), axis=-1).astype(int)

    x = np.array([1, 2, 4, 8, 16, 32, 64, -128]) @ bits(x_planes)
    return x @ (bits(plus) - bits(minus))


def dx_in_another_order(dy, W):
    w_codes, w_scale = quantize_weights(W)
    return (dy * w_scale) @ w_codes.astype(np.float64)


def dmasters_token_by_token(dy, x):
    x_codes, x_scale = quantize_activations(x)
    parts = (np.outer(*rows) for rows in zip(dy, x_codes * x_scale, strict=True))
    return sum(parts)


def first_in_float64(right, port, tolerance):
    a, b = right.astype(float), port.astype(float)
    far = ~(np.abs(a - b).max(1) <= tolerance * np.abs(a).max(1))
    return next(iter(np.flatnonzero(far)), -1)


def first_by_allclose(right, port, tolerance):
    for n in range(len(right)):
        largest = tolerance * np.max(np.abs(right[n]))
        if not np.allclose(port[n], right[n], rtol=0, atol=largest):
            return n
    return -1


def first_by_nanmax(right, port, tolerance):
    for n, (a, b) in enumerate(zip(right, port, strict=True)):
        if np.nanmax(np.abs(a - b)) > tolerance * np.abs(a).max():
            return n
    return -1


def first_by_some_nanmax(right, port, tolerance):
    for n, (a, b) in enumerate(zip(right, port, strict=True)):
        if not np.nanmax(np.abs(a - b)) <= tolerance * np.abs(a).max():
            return n
    return -1


RIGHT = {
    "absmean.codes": [weights_in_a_loop, weights_by_thresholds],
    "absmax.codes": [activations_in_a_loop, activations_by_division],
    "packing.unpack": [unpack_in_a_loop, unpack_by_broadcasting],
    "matmul.product": [product_in_a_loop, product_by_where, product_in_float32],
    "bitlinear.output": [linear_in_another_order, linear_token_by_token],
    "rmsnorm.norm": [norm_in_float64, norm_in_a_loop],
    "feedforward.gated": [gate_by_where, gate_in_a_loop],
    "rope.turned": [turn_complex, turn_in_a_loop],
    "attention.gathered": [gather_by_repeating, gather_in_groups],
    "model.next_token": [next_in_float64, next_in_another_order, next_of_all_rows],
    "checkpoint.matrix": [matrix_by_bytes, matrix_by_powers],
    "sampling.probs": [probs_in_a_loop, probs_in_float32, probs_with_masked_logits],
    "tokenizer.join": [join_in_place, join_characters],
    "kernels.table": [table_by_digits, table_by_product],
    "kernels.dot": [dot_in_a_loop, dot_by_bytes],
    "training.dx": [dx_in_another_order],
    "training.dmasters": [dmasters_token_by_token],
    "stages.first": [first_in_float64, first_by_allclose],
}
WRONG = [  # and what is said of each
    (
        "absmean.codes",
        lambda W: np.clip(np.rint(W / np.median(np.abs(W))), -1, 1),
        "med",
    ),
    ("absmean.codes", lambda W: np.clip(np.rint(W), -1, 1), "There is no scale."),
    ("absmean.codes", weights_for_the_example, "5 of 8 numbers"),
    ("absmax.code", -109, "0.85 of 128"),
    ("absmax.codes", lambda x: np.rint(x / np.abs(x).max(1)[:, None] * 128), "128"),
    ("matmul.product", product_in_16_bits, "Your sums are int16"),
    ("matmul.product", product_in_float16, "Your sums are float16"),
    ("matmul.product", product_in_one_place, "numbers"),
    ("bitlinear.output", linear_in_float64, "astype(np.float32)"),
    ("attention.gathered", gather_by(lambda h, H, G: h // G), "h // G"),
    ("attention.gathered", gather_repeated, "repeated the keys G times"),
    ("attention.gathered", gather_by(lambda h, H, G: h % G), "h % G"),
    (
        "attention.gathered",
        gather_by(lambda h, H, G: h // (H // G), np.exp),
        "infinity",
    ),
    ("model.next_token", next_without_norm, "You forgot the last norm."),
    ("sampling.probs", probs_naive, "exp of a large logit is infinity"),
    ("sampling.probs", probs_of_an_ascending_sort, "You keep the least likely."),
    ("tokenizer.join", join_text, "You replace text"),
    ("tokenizer.join", lambda ids, left, right, new: ids[:1], "Expected shape"),
    ("stages.first", first_by_nanmax, "nanmax"),
    ("stages.first", first_by_some_nanmax, "nanmax passes over NaN"),
]


@pytest.mark.parametrize(
    ("name", "answer"), [(name, a) for name, answers in RIGHT.items() for a in answers]
)
def test_what_is_right_passes_however_it_is_written(name, answer):
    verdict = check(name)(answer)
    assert verdict.right, verdict


@pytest.mark.parametrize(
    ("name", "answer", "said"), WRONG, ids=[f"{n}-{s}" for n, _, s in WRONG]
)
def test_what_is_wrong_does_not_pass_and_is_told_why(name, answer, said):
    verdict = check(name)(answer)
    assert verdict.right is False
    assert said in verdict.text
    assert len(verdict.text.splitlines()) <= 8
    assert len(verdict.text) < 800


@pytest.mark.parametrize(
    ("name", "answer", "words"),
    [
        ("absmax.codes", activations_in_place, "It writes into x"),
        ("feedforward.gated", gate_in_place, "It writes into gate"),
    ],
)
def test_what_writes_into_its_arguments_is_right_and_is_told_so(name, answer, words):
    verdict = check(name)(answer)
    assert verdict.right
    assert words in verdict.text


@pytest.mark.parametrize("name", RIGHT)
def test_no_answer_is_the_same_for_all_cases(name):
    """So an answer that was copied from a verdict, or from the notebook, fails."""
    expected = check(name).values(check(name).right)
    assert len(expected) >= 2
    first = expected[0]
    assert not all(same(first, other) for other in expected[1:])
