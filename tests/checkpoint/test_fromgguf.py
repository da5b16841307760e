"""GGUF files give the model and the tokenizer that the directory gives."""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import minibitnet as mb
from minibitnet import bf16
from minibitnet.checkpoint.gguftokenizer import make_tokenizer
from minibitnet.checkpoint.open import open_checkpoint
from minibitnet.checkpoint.synth import write_checkpoint
from minibitnet.files.gguf import read_gguf
from minibitnet.files.ggufwriter import Spec, write_gguf
from minibitnet.files.published import CONFIG
from minibitnet.formats import LAYOUTS, i2_s
from minibitnet.packing import unpack
from minibitnet.stories import BUILT_IN
from minibitnet.weights import GGUF, is_ternary

WIDE = CONFIG | {
    "hidden_size": 256,
    "intermediate_size": 512,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "vocab_size": 97,
    "max_position_embeddings": 64,
    "bos_token_id": 95,
    "eos_token_id": 96,
}
IDS = [3, 17, 5, 60, 2]
ARCH = "bitnet-b1.58"


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("wide"), WIDE, seed=4)


def metadata_of(config, arch=ARCH):
    c = config
    own = {
        "vocab_size": c.vocab_size,
        "context_length": c.max_position_embeddings,
        "embedding_length": c.hidden_size,
        "block_count": c.num_hidden_layers,
        "feed_forward_length": c.intermediate_size,
        "rope.dimension_count": c.head_dim,
        "attention.head_count": c.num_attention_heads,
        "attention.head_count_kv": c.num_key_value_heads,
        "attention.layer_norm_rms_epsilon": 1e-5,
        "rope.freq_base": c.rope_theta,
    }
    metadata = {f"{arch}.{key}": value for key, value in own.items()}
    ends = {"tokenizer.ggml.eos_token_id": c.eos_token_ids[0]}
    return {"general.architecture": arch} | metadata | ends


def gguf_name(name):
    parts = name.removeprefix("model.layers.").split(".", 1)
    if parts[0].isdigit():
        return f"blk.{parts[0]}.{GGUF[parts[1].removesuffix('.weight')]}.weight"
    return f"{GGUF[name.removesuffix('.weight')]}.weight"


def arrays_of(directory, layout):
    """The tensors of a directory as a GGUF file has them."""
    tensors = open_checkpoint(directory).tensors
    made = {}
    for name, tensor in tensors.items():
        if is_ternary(name):
            w_codes = unpack(tensor.array)
            w_scale = bf16.widen(tensors[f"{name}_scale"].array).item()
            data = LAYOUTS[layout].pack(w_codes, w_scale)
            made[gguf_name(name)] = layout.upper(), w_codes.shape, data
        elif name == "model.embed_tokens.weight":
            made[gguf_name(name)] = "BF16", tensor.array.shape, tensor.array
        elif not name.endswith("_scale"):
            values = bf16.widen(tensor.array)
            made[gguf_name(name)] = "F32", values.shape, values
    return made


def write(file, metadata, arrays):
    specs = {name: Spec(type_, shape) for name, (type_, shape, _) in arrays.items()}
    with file.open("wb") as stream:
        write_gguf(stream, metadata, specs, lambda name: [arrays[name][2]])
    return file


def load(file):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mb.CheckpointWarning)
        return mb.load(file)[0]


def test_i2_s_is_the_same_model(tmp_path, directory):
    model, _ = mb.load(directory)
    file = write(
        tmp_path / "m.gguf", metadata_of(model.config), arrays_of(directory, "i2_s")
    )
    found = load(file)
    assert found.config == replace(model.config, rms_norm_eps=found.config.rms_norm_eps)
    assert found.config.rms_norm_eps == np.float32(1e-5)
    np.testing.assert_array_equal(mb.forward(found, IDS), mb.forward(model, IDS))


@pytest.mark.parametrize("layout", ["tq1_0", "tq2_0"])
def test_blocks_with_scales_have_the_same_codes(tmp_path, directory, layout):
    model, _ = mb.load(directory)
    arrays = arrays_of(directory, layout)
    found = load(write(tmp_path / "m.gguf", metadata_of(model.config), arrays))
    for mine, other in zip(model.layers, found.layers, strict=True):
        layer, same = mine.mlp.gate_up_proj, other.mlp.gate_up_proj
        np.testing.assert_array_equal(layer.packed[0], same.packed[0])
        assert [np.float32(np.float16(s)) for s in layer.scales] == [*same.scales]
    logits, expected = mb.forward(found, IDS), mb.forward(model, IDS)
    assert np.abs(logits - expected).max() < 0.2 * np.abs(expected).max()


def test_an_embedding_of_half_precision_stays_so_and_is_widened_when_used(
    tmp_path, directory
):
    model, _ = mb.load(directory)
    arrays = arrays_of(directory, "i2_s")
    _, shape, bits = arrays["token_embd.weight"]
    half = bf16.widen(bits).astype(np.float16)
    arrays["token_embd.weight"] = "F16", shape, half
    found = load(write(tmp_path / "m.gguf", metadata_of(model.config), arrays))
    np.testing.assert_array_equal(found.embed_tokens, half, strict=True)
    assert found.lm_head is found.embed_tokens
    with mb.trace() as stages:
        logits = mb.forward(found, IDS)
    np.testing.assert_array_equal(stages["embed"], half[IDS].astype(np.float32))
    wide = half.astype(np.float32)
    widened = replace(found, embed_tokens=wide, lm_head=wide)
    np.testing.assert_array_equal(mb.forward(widened, IDS), logits)
    greedy = [[*mb.generate(m, IDS, max_new_tokens=9)] for m in (found, widened)]
    assert greedy[0] == greedy[1]


@pytest.mark.parametrize("odd", [np.inf, -np.inf, np.nan])
def test_an_embedding_of_half_precision_that_is_not_finite_is_refused(
    tmp_path, directory, odd
):
    config, arrays = open_checkpoint(directory).config, arrays_of(directory, "i2_s")
    half = np.zeros((97, 256), np.float16)
    half[96, 255] = odd
    arrays["token_embd.weight"] = "F16", half.shape, half
    file = write(tmp_path / "m.gguf", metadata_of(config), arrays)
    with pytest.raises(mb.CheckpointError, match="expected finite numbers"):
        load(file)


def test_an_embedding_of_eight_bits_is_widened(tmp_path, directory):
    config, arrays = open_checkpoint(directory).config, arrays_of(directory, "i2_s")
    data = np.zeros((97 * 8, 34), np.uint8)
    data[:, :2] = np.array([0.5], np.float16).view(np.uint8)
    data[:, 2] = 3
    arrays["token_embd.weight"] = "Q8_0", (97, 256), data.reshape(-1)
    metadata = metadata_of(config) | {f"{ARCH}.rope.scaling.type": "none"}
    found = load(write(tmp_path / "m.gguf", metadata, arrays))
    np.testing.assert_array_equal(found.embed_tokens[5, ::32], np.full(8, 1.5))


def test_a_head_of_its_own_is_used(tmp_path, directory):
    model, _ = mb.load(directory)
    arrays = arrays_of(directory, "i2_s")
    _, shape, bits = arrays["token_embd.weight"]
    arrays["output.weight"] = "BF16", shape, bits[::-1]
    found = load(write(tmp_path / "m.gguf", metadata_of(model.config), arrays))
    logits, expected = mb.forward(found, IDS), mb.forward(model, IDS)
    np.testing.assert_array_equal(logits[:, ::-1], expected)


@pytest.mark.parametrize(
    ("arch", "act"),
    [("bitnet-b1.58", "relu2"), ("bitnet-25", "relu2"), ("bitnet", "silu")],
)
def test_the_architecture_says_the_activation(tmp_path, directory, arch, act):
    config = open_checkpoint(directory).config
    file = write(
        tmp_path / "m.gguf", metadata_of(config, arch), arrays_of(directory, "i2_s")
    )
    assert load(file).config.hidden_act == act


REFUSED = {
    "another architecture": ({"general.architecture": "llama"}, "bitnet-b1.58 or"),
    "rope scaling": ({f"{ARCH}.rope.scaling.factor": 8.0}, "not supported"),
    "an unknown key": ({f"{ARCH}.expert_count": 8}, "expert_count: expected no such"),
    "half of a head turned": (
        {f"{ARCH}.attention.key_length": 32},
        "as the rest",
    ),
    "no theta": ({f"{ARCH}.rope.freq_base": None}, "rope.freq_base: expected a number"),
    "SiLU in 2B4T": (
        {f"{ARCH}.hidden_activation": "silu"},
        "relu2, as the rest",
    ),
    "no size": (
        {f"{ARCH}.embedding_length": None},
        "b1.58.embedding_length: expected a number, found nothing",
    ),
    "no layers": ({f"{ARCH}.block_count": None}, "block_count: expected a number"),
    "no heads": ({f"{ARCH}.attention.head_count": None}, "head_count: expected a num"),
    "no vocabulary": (
        {f"{ARCH}.vocab_size": None},
        "ggml.tokens: expected it or bitnet-b1.58.vocab_size, found nothing",
    ),
    "a part": (
        {"split.count": 3},
        "split.count: expected all of a model in one file .*, found 'a part of 3'",
    ),
    "a part without metadata": (
        {"split.count": 3, "general.architecture": None},
        "split.count: expected all",
    ),
    "another number of tokens": (
        {"tokenizer.ggml.tokens": ["a", "b"]},
        "vocab_size: expected 2, as the rest",
    ),
    "no eps": (
        {f"{ARCH}.attention.layer_norm_rms_epsilon": None},
        "rms_epsilon: expected a number, found nothing",
    ),
    "no context": ({f"{ARCH}.context_length": None}, "context_length: expected"),
    "an end outside": ({"tokenizer.ggml.eot_token_id": 97}, "eos_token_id"),
}


@pytest.mark.parametrize(("change", "message"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_understood_is_refused(tmp_path, directory, change, message):
    metadata = metadata_of(open_checkpoint(directory).config) | change
    metadata = {key: value for key, value in metadata.items() if value is not None}
    file = write(tmp_path / "m.gguf", metadata, arrays_of(directory, "i2_s"))
    with pytest.raises(mb.CheckpointError, match=message):
        load(file)


def two_scales(first):
    """Blocks of ones, the first with a scale of its own."""
    data = LAYOUTS["tq2_0"].pack(np.ones((256, 512), np.int8), 0.5)
    data[64:66] = np.array([first], np.float16).view(np.uint8)
    return data


def test_tensors_that_are_wrong_are_named(tmp_path, directory):
    config = open_checkpoint(directory).config
    metadata, arrays = metadata_of(config), arrays_of(directory, "i2_s")
    name = "blk.1.ffn_down.weight"
    type_, shape, data = arrays[name]
    bad = data.copy()
    bad[5] = 0xFF
    changes = {
        "code": (type_, shape, bad),
        "type of a norm": ("F32", (256,), np.zeros(256, np.float32)),
    }
    for change in changes.values():
        file = write(tmp_path / "m.gguf", metadata, arrays | {name: change})
        with pytest.raises(mb.CheckpointError, match="down"):
            load(file)


WRONG = {
    "a bias": ("blk.0.attn_q.bias", "F32", (4,), np.zeros(4, np.float32)),
    "a ternary norm": ("output_norm.weight", "I2_S", (1, 256), np.zeros(96, np.uint8)),
    "two scales": ("blk.1.ffn_down.weight", "TQ2_0", (256, 512), two_scales(0.25)),
    "one axis": ("blk.1.ffn_down.weight", "TQ2_0", (256,), two_scales(0.5)[:66]),
    "a name of no layer": ("blk.x.attn_q.weight", "F32", (4,), np.zeros(4, np.float32)),
    "layer 00": ("blk.00.attn_q.weight", "F32", (4,), np.zeros(4, np.float32)),
    "a name of safetensors": ("model.norm.weight", "F32", (256,), np.zeros(256, "f4")),
    "a scale beside": ("blk.0.attn_q.weight_scale", "F32", (1,), np.ones(1, "f4")),
    "a matrix of 8 bits": (
        "blk.1.ffn_down.weight",
        "Q8_0",
        (256, 512),
        np.zeros(256 * 16 * 34, np.uint8),
    ),
    "a scale 0": ("blk.1.ffn_down.weight", "TQ2_0", (256, 512), two_scales(0)),
}
MESSAGES = (
    *("no such tensor in", "expected floats", "2 different scales", "two axes"),
    *("no such tensor in", *3 * ["no such tensor in"], "or its master", "a scale 0"),
)


@pytest.mark.parametrize(
    ("tensor", "message"), [*zip(WRONG.values(), MESSAGES, strict=True)], ids=WRONG
)
def test_tensors_that_have_no_place_are_named(tmp_path, directory, tensor, message):
    name, *what = tensor
    metadata = metadata_of(open_checkpoint(directory).config)
    arrays = arrays_of(directory, "i2_s") | {name: tuple(what)}
    with pytest.raises(mb.CheckpointError, match=message):
        load(write(tmp_path / "m.gguf", metadata, arrays))


def built_in_metadata(**change):
    page = json.loads((BUILT_IN / "tokenizer.json").read_text())
    special = {token["id"]: token["content"] for token in page["added_tokens"]}
    tokens = dict(
        sorted({**{i: t for t, i in page["model"]["vocab"].items()}, **special}.items())
    )
    merges = [
        " ".join(m) if isinstance(m, list) else m for m in page["model"]["merges"]
    ]
    bos = next(i for i, t in special.items() if t == "<|begin_of_text|>")
    metadata = {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.tokens": [*tokens.values()],
        "tokenizer.ggml.token_type": [3 if i in special else 1 for i in tokens],
        "tokenizer.ggml.merges": merges,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.bos_token_id": bos,
        "tokenizer.chat_template": "Human: BITNETAssistant: ",
    } | change
    return {key: value for key, value in metadata.items() if value is not None}


def one_unused():
    """Kinds of tokens: a byte that no merge has, and no text, is not to be used."""
    metadata = built_in_metadata()
    joined = "".join(metadata["tokenizer.ggml.merges"])
    tokens = enumerate(metadata["tokenizer.ggml.tokens"])
    kinds = [*metadata["tokenizer.ggml.token_type"]]
    kinds[next(i for i, token in tokens if token not in joined)] = 5
    return kinds


def read(tmp_path, metadata):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", mb.CheckpointWarning)
        return make_tokenizer(read_gguf(write(tmp_path / "t.gguf", metadata, {})))


def test_the_tokenizer_of_the_file_is_that_of_the_directory(tmp_path):
    _, expected = mb.load()
    found = read(tmp_path, built_in_metadata())
    for text in ("Once upon a time", " naïve 日本 12345\n\n x", "<|eot_id|>hi", ""):
        assert found.encode(text) == expected.encode(text)
        assert found.decode(found.encode(text)) == expected.decode(
            expected.encode(text)
        )
    messages = [{"role": "user", "content": "Hi"}]
    assert found.chat(messages) == expected.chat(messages)  # not the placeholder


def test_a_template_that_is_no_placeholder_is_used(tmp_path):
    template = "{{ messages[0].content }}!"
    found = read(tmp_path, built_in_metadata(**{"tokenizer.chat_template": template}))
    ids = found.chat([{"role": "user", "content": "Hi"}])
    assert found.decode(ids) == "Hi!"
    none = built_in_metadata(**{"tokenizer.chat_template": None})
    with pytest.raises(ValueError, match="chat_template"):
        read(tmp_path, none).chat([{"role": "user", "content": "Hi"}])


def test_a_tokenizer_that_puts_nothing_before_a_text(tmp_path):
    for change in (
        {"tokenizer.ggml.add_bos_token": False},
        {"tokenizer.ggml.bos_token_id": None},
    ):
        assert read(tmp_path, built_in_metadata(**change)).bos_ids == []


def test_tokenizers_that_are_not_read_here(tmp_path):
    assert read(tmp_path, {"general.name": "x"}) is None
    assert read(tmp_path, {"tokenizer.ggml.model": "none"}) is None
    for change, message in (
        ({"tokenizer.ggml.model": "t5"}, "expected gpt2 or llama"),
        ({"tokenizer.ggml.pre": "falcon_e"}, "expected llama-bpe"),
        ({"tokenizer.ggml.token_type": [1]}, "kinds"),
        ({"tokenizer.ggml.token_type": "1"}, "kinds"),
        ({"tokenizer.ggml.tokens": [1, 2]}, "tokens: expected a list of texts"),
        ({"tokenizer.ggml.tokens": None}, "a list of texts, found nothing"),
        ({"tokenizer.ggml.tokens": ["a", "b", "a"]}, "each another, found .*'a' 2 tim"),
        ({"tokenizer.ggml.merges": 7}, "merges: expected a list of texts, found 7"),
        ({"tokenizer.ggml.bos_token_id": [1, 2]}, "one id"),
        ({"tokenizer.chat_template": 7}, r"t\.gguf/tokenizer_config\.json: chat_templ"),
        ({"tokenizer.ggml.bos_token_id": 10**6}, "token ids"),
        ({"tokenizer.ggml.model": [1, 2]}, r"gpt2 or llama, found \[1, 2\]"),
        ({"tokenizer.ggml.token_type": one_unused()}, "to which the library gives"),
    ):
        with pytest.raises(mb.CheckpointError, match=message):
            read(tmp_path, built_in_metadata(**change))


def pieces_metadata(**change):
    page = json.loads((Path(__file__).parent.parent / "pieces.json").read_text())
    metadata = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": page["tokens"],
        "tokenizer.ggml.scores": page["scores"],
        "tokenizer.ggml.token_type": page["kinds"],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.unknown_token_id": 0,
    } | change
    return {key: value for key, value in metadata.items() if value is not None}


def test_pieces_with_scores_are_a_tokenizer(tmp_path):
    """That of Llama 2, which the models of the architecture `bitnet` have."""
    page = json.loads((Path(__file__).parent.parent / "pieces.json").read_text())
    tokenizer = read(tmp_path, pieces_metadata())
    for text, ids, back in page["texts"]:
        assert tokenizer.encode(text) == [1, *ids]
        assert tokenizer.decode(ids) == back
    assert tokenizer.encode("</s>", bos=False) == [2]
    bare = {"tokenizer.ggml.add_space_prefix": False}
    bare |= {
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.ggml.unknown_token_id": None,
    }
    tokenizer = read(tmp_path, pieces_metadata(**bare))
    assert (tokenizer.bos_ids, tokenizer.decode(tokenizer.encode(" a"))) == ([], " a")
    assert read(tmp_path, pieces_metadata(**{"tokenizer.ggml.pre": None})).bos_ids == [
        1
    ]


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("pre", "llama-bpe", "pre: expected default, found 'llama-bpe'"),
        ("scores", None, "scores: expected 400 numbers, found nothing"),
        ("scores", [0.0], "scores: expected 400 numbers"),
        ("scores", [float("nan")] * 400, "scores: expected 400 numbers"),
        ("scores", "x", "scores: expected 400 numbers, found 'x'"),
        ("tokens", [*map(str, range(399)), "a" * 200], "at most 128 letters"),
        ("unknown_token_id", 400, "unknown_token_id: expected"),
    ],
)
def test_pieces_that_are_not_sound_are_refused(tmp_path, key, value, message):
    with pytest.raises(mb.CheckpointError, match=message):
        read(tmp_path, pieces_metadata(**{f"tokenizer.ggml.{key}": value}))


def test_without_its_key_every_head_has_keys_of_its_own(tmp_path):
    """As GGUF's specification has it: then the model does not use groups."""
    directory = write_checkpoint(tmp_path / "d", WIDE | {"num_key_value_heads": 4})
    config = open_checkpoint(directory).config
    metadata = metadata_of(config)
    del metadata[f"{ARCH}.attention.head_count_kv"]
    file = write(tmp_path / "m.gguf", metadata, arrays_of(directory, "i2_s"))
    assert load(file).config == config


@pytest.mark.parametrize("kind", ["F32", "F16"])
def test_matrices_of_floats_are_made_ternary_and_a_line_says_so(
    tmp_path, directory, kind
):
    arrays = arrays_of(directory, "i2_s")
    for name, (type_, shape, data) in arrays.items():
        if type_ == "I2_S":
            w_codes, w_scale = (
                LAYOUTS["i2_s"].unpack(data, *shape),
                i2_s.unpack_scale(data),
            )
            dtype = {"F32": np.float32, "F16": np.float16}[kind]
            arrays[name] = kind, shape, (w_codes * w_scale).astype(dtype)
    said = {f"{ARCH}.hidden_activation": "relu2"}
    metadata = metadata_of(open_checkpoint(directory).config) | said
    file = write(tmp_path / "m.gguf", metadata, arrays)
    with pytest.warns(mb.CheckpointWarning) as notes:
        model, _ = mb.load(file)
    [note] = [str(note.message) for note in notes]
    assert "m.gguf has matrices of floats; they are made ternary" in note
    assert "config.json" not in note
    found, right = mb.forward(model, IDS), mb.forward(mb.load(directory)[0], IDS)
    if kind == "F32":
        np.testing.assert_array_equal(found, right)


def test_what_was_assumed_is_said(tmp_path, directory):
    config = open_checkpoint(directory).config
    file = write(tmp_path / "m.gguf", metadata_of(config), arrays_of(directory, "i2_s"))
    with pytest.warns(mb.CheckpointWarning, match="by its architecture it is squared"):
        mb.load(file)
    said = metadata_of(config) | {f"{ARCH}.hidden_activation": "relu2"}
    file = write(tmp_path / "m.gguf", said, arrays_of(directory, "i2_s"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        mb.load(file)
    file = write(tmp_path / "t.gguf", built_in_metadata(), {})
    with pytest.warns(mb.CheckpointWarning, match="the file's is a placeholder"):
        make_tokenizer(read_gguf(file))


def test_a_directory_with_a_gguf_file_means_the_file(tmp_path, directory):
    config = open_checkpoint(directory).config
    write(tmp_path / "m.gguf", metadata_of(config), arrays_of(directory, "i2_s"))
    assert load(tmp_path).config == load(tmp_path / "m.gguf").config
    write(tmp_path / "n.gguf", metadata_of(config), arrays_of(directory, "i2_s"))
    with pytest.raises(mb.CheckpointError, match="config.json"):  # which of the two?
        mb.load(tmp_path)


def test_opening_a_gguf_file_gives_what_opening_the_directory_gives(
    tmp_path, directory
):
    config, _, tensors = open_checkpoint(directory)
    file = write(tmp_path / "m.gguf", metadata_of(config), arrays_of(directory, "i2_s"))
    with pytest.warns(mb.CheckpointWarning, match="by its architecture"):
        found = open_checkpoint(file)
    assert found.tensors.keys() == tensors.keys()
    for name, tensor in found.tensors.items():
        stored = bf16.widen(tensors[name].array) if tensor.dtype == "F32" else None
        expected = tensors[name].array if stored is None else stored
        np.testing.assert_array_equal(tensor.array, expected, strict=True)
