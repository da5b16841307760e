"""GGUF files for `mutate_files.py`: damaged, and read by a way of their own.

What is read here shares no code with the package but `minibitnet.bpe`: the container is
walked with struct, blocks are decoded by gguf-py, and I2_S, which gguf-py does not
know, by its formula. So what the loader makes of a damaged file can be compared.
"""

import struct

import gguf
import numpy as np

from minibitnet.bpe import BPE

NUMBERS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd", strict=True))
STRING, ARRAY = 8, 9
BYTES = {0: (1, 4), 1: (1, 2), 8: (32, 34), 14: (256, 210), 30: (1, 2), 34: (256, 54),
         35: (256, 66), 36: (4, 1)}  # weights and bytes of a block  # fmt: skip
FLOATS = {0: "<f4", 1: "<f2", 30: "<u2"}
NAMES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "attn_sub_norm": "self_attn.attn_sub_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_sub_norm": "mlp.ffn_sub_norm",
}
KEYS = {
    "hidden_size": "embedding_length",
    "num_hidden_layers": "block_count",
    "num_attention_heads": "attention.head_count",
    "num_key_value_heads": "attention.head_count_kv",
    "rms_norm_eps": "attention.layer_norm_rms_epsilon",
    "rope_theta": "rope.freq_base",
    "intermediate_size": "feed_forward_length",
}
HEAD_SIZES = ("rope.dimension_count", "attention.key_length", "attention.value_length")


# Read plainly: entries as [key, kind, bytes], tensors as [name, sizes, type, offset]


def walk(data):
    """Version, entries, tensors, and what comes behind them."""
    at = 4

    def take(count):
        nonlocal at
        assert at + count <= len(data)
        at += count
        return bytes(data[at - count : at])

    def number(letter):
        return struct.unpack(f"<{letter}", take(struct.calcsize(f"<{letter}")))[0]

    def value(kind):
        start = at
        if kind == STRING:
            take(number("Q"))
        elif kind == ARRAY:
            inner, count = number("I"), number("Q")
            if inner == STRING:
                for _ in range(count):
                    take(number("Q"))
            else:
                take(count * struct.calcsize(f"<{NUMBERS[inner]}"))
        else:
            take(struct.calcsize(f"<{NUMBERS[kind]}"))
        return bytes(data[start:at])

    version, count, entries = number("I"), number("Q"), number("Q")
    found = []
    for _ in range(entries):
        key, kind = take(number("Q")), number("I")
        found.append([key, kind, value(kind)])
    tensors = []
    for _ in range(count):
        name = take(number("Q"))
        sizes = [number("Q") for _ in range(number("I"))]
        tensors.append([name, sizes, number("I"), number("Q")])
    alignment = dict((k, v) for k, _, v in found).get(b"general.alignment")
    step = int.from_bytes(alignment, "little") if alignment else 32
    return version, found, tensors, bytearray(data[at + -at % step :])


def decode(kind, raw):
    """The value of an entry."""
    if kind == STRING:
        return raw[8:].decode()
    if kind != ARRAY:
        [number] = struct.unpack(f"<{NUMBERS[kind]}", raw)
        return float(str(np.float32(number))) if kind == 6 else number
    inner, count = struct.unpack("<IQ", raw[:12])
    if inner != STRING:
        return np.frombuffer(raw[12:], f"<{NUMBERS[inner]}").tolist()
    texts, at = [], 12
    for _ in range(count):
        size = int.from_bytes(raw[at : at + 8], "little")
        texts.append(raw[at + 8 : at + 8 + size].decode())
        at += 8 + size
    return texts


def pack_rows(codes):
    """Four rows, a quarter of the matrix apart, in a byte."""
    M, N = codes.shape
    bands = np.zeros((4, -(-M // 4), N), np.uint8)
    bands.reshape(-1, N)[:M] = codes + 1
    return bands[0] | bands[1] << 2 | bands[2] << 4 | bands[3] << 6


def ternary(raw, type_, shape):
    """Packed codes and the scale of a matrix."""
    if type_ == 36:
        blocks = np.frombuffer(raw[:-32], np.uint8).reshape(-1, 32)
        codes = np.concatenate([blocks >> s & 3 for s in (6, 4, 2, 0)], axis=1)
        codes = codes.reshape(shape).astype(np.int8) - np.int8(1)
        return pack_rows(codes), np.frombuffer(raw[-32:-28], "<f4")
    rows = np.frombuffer(raw, np.uint8).reshape(shape[0], -1)
    values = gguf.dequantize(rows, gguf.GGMLQuantizationType(type_))
    largest = np.abs(values).max()
    scale = np.array([largest if largest > 0 else 1], np.float32)
    return pack_rows(np.sign(values).astype(np.int8)), scale


def for_the_page(file):
    """Config and weights as `minibitnet.one_page` has them."""
    _, entries, tensors, data = walk(file.read_bytes())
    metadata = {key.decode(): decode(kind, raw) for key, kind, raw in entries}
    arch = metadata["general.architecture"]
    own = {k.removeprefix(f"{arch}."): v for k, v in metadata.items()}
    config = {name: own[key] for name, key in KEYS.items()}
    config["head_dim"] = next((own[k] for k in HEAD_SIZES if k in own), None)
    config["hidden_act"] = "silu" if arch == "bitnet" else "relu2"
    config["quantization_config"] = {"linear_class": "autobitlinear"}
    weights = {}
    for name, sizes, type_, offset in tensors:
        *layer, stem, kind = name.decode().split(".")
        prefix = f"model.layers.{layer[1]}." if layer else ""
        name, shape = f"{prefix}{NAMES[stem]}.{kind}", sizes[::-1]
        block, size = BYTES[type_]
        end = offset + int(np.prod(shape)) // block * size + 32 * (type_ == 36)
        raw = bytes(data[offset:end])
        if type_ in FLOATS:
            weights[name] = np.frombuffer(raw, FLOATS[type_]).reshape(shape)
        elif type_ in (8, 14):
            rows = np.frombuffer(raw, np.uint8).reshape(shape[0], -1)
            weights[name] = gguf.dequantize(rows, gguf.GGMLQuantizationType(type_))
        else:
            weights[name], weights[f"{name}_scale"] = ternary(raw, type_, shape)
    return config, weights


def plain_bpe(file):
    """The tokenizer by the lists of the file; a ValueError or KeyError if odd."""
    _, entries, _, _ = walk(file.read_bytes())
    metadata = {key.decode(): decode(kind, raw) for key, kind, raw in entries}
    m = {k.removeprefix("tokenizer.ggml."): v for k, v in metadata.items()}
    tokens, kinds = m["tokens"], m["token_type"]
    letters = gguf_letters()
    spelled = {
        i: bytes(letters[letter] for letter in token)
        for i, token in enumerate(tokens)
        if kinds[i] not in (3, 4, 5)
    }
    pairs = [merge.split(" ") for merge in m["merges"]]
    asked = m.get("add_bos_token") is not False and "bos_token_id" in m
    return BPE(
        vocabulary={token: i for i, token in spelled.items()},
        ranks={
            tuple(bytes(letters[x] for x in part) for part in pair): rank
            for rank, pair in enumerate(pairs)
        },
        ignore_merges=True,
        special={token: i for i, token in enumerate(tokens) if kinds[i] == 3},
        spelled=spelled,
        bos_ids=[m["bos_token_id"]] if asked else [],
    )


def gguf_letters():
    """The byte that each letter of a token stands for, as GPT-2 wrote it down."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    unseen = [byte for byte in range(256) if byte not in seen]
    return {chr(byte): byte for byte in seen} | {
        chr(256 + n): byte for n, byte in enumerate(unseen)
    }


# Damage. `r` is a random.Random


def write(file, version, entries, tensors, data, counts=None):
    parts = [b"GGUF", struct.pack("<I", version)]
    parts += [struct.pack("<QQ", *(counts or (len(tensors), len(entries))))]
    for key, kind, raw in entries:
        parts += [struct.pack("<Q", len(key)), key, struct.pack("<I", kind), raw]
    for name, sizes, type_, offset in tensors:
        parts += [struct.pack("<Q", len(name)), name]
        parts += [struct.pack(f"<I{len(sizes)}Q", len(sizes), *sizes)]
        parts += [struct.pack("<IQ", type_, offset)]
    head = b"".join(parts)
    file.write_bytes(head + bytes(-len(head) % 32) + bytes(data))


ODD_COUNTS = (0, 1, 2, 3, 7, 31, 255, 2**31, 2**32 - 1, 2**61, 2**63, 2**64 - 1)
ODD_REALS = (0.0, -1.0, 1e-5, 1e-30, 1e30, float("nan"), float("inf"), 0.5)
TEXTS = (b"", b"\x1b[2J\r\n", b"\xff\xfe", "é".encode() * 300, b"llama", b"silu",
         b"{{ 1/0 }}", b"llama-bpe", b"bitnet", b"x" * 5000)  # fmt: skip


# Codes 3; as a scale 2, 0, infinity, NaN, -1
ODD_BYTES = (b"\xff", b"\x55", b"\0\x40", b"\0\0", b"\0\0\0\0", b"\0\x7c",
             b"\0\0\xc0\x7f", b"\0\0\x80\xbf")  # fmt: skip


def odd_entry(r):
    """A kind and the bytes of a value."""
    how = r.randrange(8)
    if how == 0:
        text = r.choice(TEXTS)
        return STRING, struct.pack("<Q", r.choice((len(text), *ODD_COUNTS))) + text
    if how == 1:
        return 4, struct.pack("<I", r.choice(ODD_COUNTS) % 2**32)
    if how == 2:
        return 10, struct.pack("<Q", r.choice(ODD_COUNTS))
    if how == 3:
        return 6, struct.pack("<f", r.choice(ODD_REALS))
    if how == 4:
        return 7, bytes([r.choice((0, 1, 2, 255))])
    if how == 5:  # lists: in lists, of more than there is, of nothing
        inner = r.choice((ARRAY, STRING, *NUMBERS, 13, 99))
        return ARRAY, struct.pack("<IQ", inner, r.choice(ODD_COUNTS)) + bytes(16)
    if how == 6:
        return r.choice((13, 77, 2**31)), bytes(8)
    return 12, struct.pack("<d", r.choice(ODD_REALS))


def change_entry(r, entries):
    n, how = r.randrange(len(entries)), r.randrange(6)
    key = entries[n][0]
    if how == 0:
        del entries[n]
        return f"{key} deleted"
    if how == 1:
        entries.insert(r.randrange(len(entries)), list(entries[n]))
        return f"{key} twice"
    if how == 2:
        new = r.choice((key + b"x", key[:-1], b"", b"general.alignment", b"\xff",
                        b"bitnet-b1.58.expert_count", b"\x1b[2J"))  # fmt: skip
        entries[n][0] = new
        return f"{key} called {new!r:.60}"
    if how == 3:
        other = r.randrange(len(entries))
        entries[n][1:], entries[other][1:] = entries[other][1:], entries[n][1:]
        return f"{key} and {entries[other][0]} exchanged"
    if how == 4 and entries[n][1] == ARRAY:  # within a list
        raw = bytearray(entries[n][2])
        raw[12 + r.randrange(max(1, len(raw) - 12))] ^= 1 << r.randrange(8)
        entries[n][2] = bytes(raw)
        return f"a bit of {key}"
    entries[n][1:] = odd_entry(r)
    return f"{key} became {entries[n][1:]!r:.60}"


def change_tensor(r, tensors):
    entry, other = r.choice(tensors), r.choice(tensors)
    name, how = bytes(entry[0]), r.randrange(5)
    if how == 0:
        entry[0] = r.choice((other[0], name + b"_scale", name.upper(), b"", b"\xff",
                             name.replace(b"blk.0", b"blk.00"), b"model.norm.weight",
                             name.replace(b"weight", b"bias"), b"\x1b[2J"))  # fmt: skip
    elif how == 1:
        entry[1] = r.choice((entry[1][::-1], other[1], [*entry[1], 1], [], [0],
                             [r.choice(ODD_COUNTS)] * r.choice((1, 2, 3, 4, 5)),
                             [1] * 60))  # fmt: skip
    elif how == 2:
        entry[2] = r.choice((*BYTES, *range(45), 2**31))
    elif how == 3:
        moved = entry[3] + r.choice((1, 8, 32, -32, 256))
        entry[3] = r.choice((other[3], moved % 2**64, *ODD_COUNTS))
    else:
        tensors.insert(r.randrange(len(tensors)), list(entry))
    return f"{name}: way {how}, {entry!r:.100}"


def change_data(r, tensors, data):
    """Some bytes of a tensor; often a scale, of a block or behind all of I2_S."""
    name, sizes, type_, offset = r.choice(tensors)
    block, size = BYTES[type_]
    nbytes = int(np.prod(sizes, dtype=object)) // block * size + 32 * (type_ == 36)
    scale = (
        nbytes - 32 if type_ == 36 else r.randrange(1, nbytes // size + 1) * size - 2
    )
    at = offset + (scale if r.random() < 0.4 else r.randrange(nbytes)) // 2 * 2
    new = r.choice((*ODD_BYTES, bytes([r.randrange(256)])))
    data[at : at + len(new)] = new
    return f"{name}: {new!r} at {at}"


def change_gguf(r, file):
    """One change of a GGUF file; None if it is too damaged to find a place."""
    try:
        version, entries, tensors, data = walk(file.read_bytes())
        how, counts = r.randrange(6), None
        if how < 2:
            what = change_entry(r, entries)
        elif how == 2:
            what = change_tensor(r, tensors)
        elif how == 3:
            what = change_data(r, tensors, data)
        elif how == 4:
            counts = [len(tensors), len(entries)]
            counts[r.randrange(2)] = r.choice(ODD_COUNTS)
            what = f"counts {counts}"
        else:
            version = r.choice((0, 1, 2, 4, 2**24 * 3))
            what = f"version {version}"
        write(file, version, entries, tensors, data, counts)
        return what
    except (AssertionError, ArithmeticError, KeyError, ValueError, IndexError,
            struct.error, MemoryError):  # fmt: skip
        return None
