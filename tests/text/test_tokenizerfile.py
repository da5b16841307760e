import copy
import json

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from shared import REAL, needs_shared
from tokenizers import models, pre_tokenizers, processors, trainers

from minibitnet import CheckpointError
from minibitnet.stories import BUILT_IN
from minibitnet.text.library import Library
from minibitnet.text.tokenizerfile import BYTES, LETTERS, PRE_TOKENIZER, read_bpe

BOS, EOT = "<|begin_of_text|>", "<|eot_id|>"
FLAGS = ("single_word", "lstrip", "rstrip", "normalized")
TEXT = f"aa ab<{EOT}>aab  b{BOS}"


def build():
    """A tokenizer.json with two merges and one special token in the vocabulary."""
    tokens = [*LETTERS.values(), "aa", "aab", BOS]
    added = [(tokens.index(BOS), BOS), (len(tokens), EOT)]
    ids = [tokens.index(BOS)]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": content, "special": True} | dict.fromkeys(FLAGS, False)
            for i, content in added
        ],
        "normalizer": None,
        "pre_tokenizer": copy.deepcopy(PRE_TOKENIZER),
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [
                {"SpecialToken": {"id": BOS, "type_id": 0}},
                {"Sequence": {"id": "A", "type_id": 0}},
            ],
            "pair": [
                {"Sequence": {"id": "A", "type_id": 0}},
                {"Sequence": {"id": "B", "type_id": 0}},
            ],
            "special_tokens": {BOS: {"id": BOS, "ids": ids, "tokens": [BOS]}},
        },
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": {token: i for i, token in enumerate(tokens)},
            "merges": [["a", "a"], ["aa", "b"]],
        },
    }


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("tokenizer") / "tokenizer.json"


def write(file, content):
    file.write_text(json.dumps(content), encoding="utf-8")
    return file


def set_in(content, path, value):
    *before, last = path
    for key in before:
        content = content[key]
    content[last] = value


# ---- what is read


def test_each_byte_has_the_letter_of_the_library():
    assert set(BYTES) == set(pre_tokenizers.ByteLevel.alphabet())
    step = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    for code in (*range(0x180), 0x20AC, 0x1F600):
        [(spelled, _)] = step.pre_tokenize_str(chr(code))
        assert "".join(LETTERS[byte] for byte in chr(code).encode()) == spelled


def test_what_is_read_is_what_stands_in_the_file(file):
    bpe = read_bpe(write(file, build()))
    assert bpe.ranks == {(b"a", b"a"): 0, (b"aa", b"b"): 1}
    assert bpe.special == {BOS: 258, EOT: 259}
    assert bpe.bos_ids == [258]
    assert (bpe.vocabulary[b"aab"], bpe.spelled[257]) == (257, b"aab")
    assert bpe.decode([258, 257, 259]) == "aab"
    assert not bpe.ignore_merges


def test_a_tokenizer_trained_by_the_library_is_read(file):
    inner = tokenizers.Tokenizer(models.BPE(ignore_merges=True))
    inner.pre_tokenizer = tokenizers.Tokenizer.from_file(
        str(BUILT_IN / "tokenizer.json")
    ).pre_tokenizer
    inner.decoder = tokenizers.decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=[BOS, EOT],  # these come first in the vocabulary
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator(["Say hello to the whole wide world. "], trainer)
    inner.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, inner.token_to_id(BOS))]
    )
    inner.enable_truncation(3)
    inner.enable_padding(length=99)
    inner.save(str(file))
    inner.no_truncation()
    inner.no_padding()
    text = f"{BOS}Say: hello, whole world{EOT}"
    ids = read_bpe(file).encode(text)
    assert ids == inner.encode(text, add_special_tokens=False).ids
    assert read_bpe(file).bos_ids == [0]
    assert read_bpe(file).decode(ids) == inner.decode(ids)


@pytest.mark.parametrize(
    "path", [BUILT_IN, pytest.param(REAL, marks=needs_shared)], ids=["built-in", "2b4t"]
)
def test_merges_may_be_written_in_either_way(path, file):
    content = json.loads((path / "tokenizer.json").read_text(encoding="utf-8"))
    model, merges = content["model"], content["model"]["merges"]
    pairs = [pair.split(" ") if isinstance(pair, str) else pair for pair in merges]
    for model["merges"] in (pairs, [" ".join(pair) for pair in pairs]):
        assert read_bpe(write(file, content)) == read_bpe(path / "tokenizer.json")


BEGIN, SEQUENCE = build()["post_processor"]["single"]
END = {"SpecialToken": {"id": EOT, "type_id": 0}}


@pytest.mark.parametrize("processor", [None, {"type": "ByteLevel"}])
def test_without_a_template_nothing_is_put_before_a_text(processor, file):
    assert read_bpe(write(file, build() | {"post_processor": processor})).bos_ids == []


@pytest.mark.parametrize(
    ("single", "before"),
    [
        ([SEQUENCE], []),
        ([SEQUENCE, BEGIN], []),  # at the end
        ([BEGIN, SEQUENCE, END, BEGIN], [258]),
        ([END, BEGIN, SEQUENCE], [259, 258]),
    ],
)
def test_begin_of_text_is_what_is_put_before_a_text(single, before, file):
    content = build()
    content["post_processor"]["single"] = single
    end = {"id": EOT, "ids": [259], "tokens": [EOT]}
    content["post_processor"]["special_tokens"][EOT] = end
    bpe = read_bpe(write(file, content))
    assert bpe.bos_ids == before
    assert Library(tokenizers.Tokenizer.from_file(str(file))).bos_ids == before


def test_a_step_over_bytes_before_the_template_changes_nothing(file):
    content = build()
    steps = [{"type": "ByteLevel"}, content["post_processor"]]
    content["post_processor"] = {"type": "Sequence", "processors": steps}
    assert read_bpe(write(file, content)).bos_ids == [258]


# ---- what is refused

VOCAB = build()["model"]["vocab"]
ADDED = build()["added_tokens"]
SINGLE = build()["post_processor"]["single"]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["version"], "2.0", "version: expected 1.0, found '2.0'"),
        (["normalizer"], {"type": "NFC"}, "normalizer: expected nothing, found {'typ"),
        (["later"], True, "later: expected nothing, found True"),
        (["pre_tokenizer"], None, "pre_tokenizer: expected the pattern of Llama 3"),
        (["pre_tokenizer", "pretokenizers", 0, "invert"], True, "pre_tokenizer: exp"),
        (
            ["pre_tokenizer", "pretokenizers", 0, "pattern"],
            {"Regex": r"\p{N}"},  # digits one by one
            "pre_tokenizer: expected the pattern of Llama 3",
        ),
        (
            ["pre_tokenizer", "pretokenizers", 1, "add_prefix_space"],
            True,
            "pre_tokenizer: expected the pattern of Llama 3",
        ),
        (["decoder"], {"type": "Metaspace"}, "decoder: type: expected ByteLevel, fou"),
        (["decoder"], None, "decoder: type: expected ByteLevel, found nothing"),
        (["model"], None, "model: type: expected BPE, found nothing"),
        (["model"], [], r"model: expected a JSON object, found \[\]"),
        (["model", "type"], "Unigram", "model: type: expected BPE, found 'Unigram'"),
        (["model", "dropout"], 0.1, "model: dropout: expected nothing, found 0.1"),
        (["model", "unk_token"], "<unk>", "model: unk_token: expected nothing, found"),
        (["model", "byte_fallback"], True, "model: byte_fallback: expected nothing"),
        (["model", "fuse_unk"], True, "model: fuse_unk: expected nothing, found True"),
        (
            ["model", "continuing_subword_prefix"],
            "##",
            "model: continuing_subword_prefix: expected nothing, found '##'",
        ),
        (
            ["model", "end_of_word_suffix"],
            "</w>",
            "model: end_of_word_suffix: expected nothing, found '</w>'",
        ),
        (["model", "ignore_merges"], "no", "model: ignore_merges: expected true or f"),
        (["model", "vocab"], {}, "model: vocab: expected every id from 0 up once"),
        (["model", "vocab", "a"], 1, "model: vocab: expected every id from 0 up once"),
        (["model", "vocab", "a"], "97", "model: vocab: expected every id from 0 up o"),
        (["model", "vocab", "aaa"], 300, "model: vocab: expected every id from 0 up"),
        (["model", "vocab", "a b"], 259, r"of all bytes .* found .*missing, \[' '\] b"),
        (["model", "vocab", "a\ud800"], 259, r"of all bytes and no others, found"),
        (
            ["model", "vocab"],
            {"b" if token == "a" else token: i for token, i in VOCAB.items()},
            "model: vocab: expected every id from 0 up once",
        ),
        (
            ["model", "vocab"],
            {"aaa" if token == "a" else token: i for token, i in VOCAB.items()},
            r"expected the letters of all bytes and no others, found \"\['a'\] missing",
        ),
        (["model", "merges"], None, "model: merges: expected a list, found nothing"),
        (["model", "merges"], {"a": "b"}, "model: merges: expected a list, found {'a'"),
        (
            ["model", "merges", 1],
            "aa b b",
            r"merges\[1\]: expected two tokens that mak",
        ),
        (
            ["model", "merges", 1],
            "b b",
            r"merges\[1\]: expected two tokens that make a",
        ),
        (
            ["model", "merges", 1],
            ["aab"],
            r"merges\[1\]: expected two tokens that make",
        ),
        (["model", "merges", 1], ["", [""]], r"merges\[1\]: expected two tokens that "),
        (["model", "merges", 1], [[], []], r"merges\[1\]: expected two tokens that ma"),
        (["model", "merges", 1], ["aab", ""], r"merges\[1\]: expected two tokens that"),
        (["model", "merges", 1], {"a": 0, "a ": 1}, r"merges\[1\]: expected two token"),
        (["added_tokens"], 7, "added_tokens: expected a list, found 7"),
        (["added_tokens", 1], ADDED[0], r"added_tokens\[1\]: expected a new special "),
        (["added_tokens", 1], EOT, r"added_tokens\[1\]: expected a new special token"),
        (
            ["added_tokens", 1, "content"],
            BOS,
            r"added_tokens\[1\]: expected a new spec",
        ),
        (
            ["added_tokens", 1, "content"],
            "",
            r"added_tokens\[1\]: expected a new speci",
        ),
        (
            ["added_tokens", 1, "content"],
            "é",
            r"added_tokens\[1\]: expected a new spec",
        ),
        (["added_tokens", 1, "content"], "\udc00", r"added_tokens\[1\]: expected a ne"),
        (["added_tokens", 1, "id"], 260, r"added_tokens\[1\]: .* id 259, .*found"),
        (["added_tokens", 0, "id"], 259, r"added_tokens\[0\]: expected a new special"),
        (
            ["added_tokens", 1, "special"],
            False,
            r"added_tokens\[1\]: expected a new sp",
        ),
        *[
            (["added_tokens", 1, flag], True, r"added_tokens\[1\]: .* with no flag set")
            for flag in FLAGS
        ],
        (["post_processor"], {"type": "BertProcessing"}, "post_processor: expected to"),
        (["post_processor"], [], "post_processor: expected tokens around the text"),
        (["post_processor", "single"], SINGLE[:1], "post_processor: expected tokens"),
        (
            ["post_processor", "single"],
            [*SINGLE, SINGLE[1]],
            "post_processor: expected tokens around the text",
        ),
        (
            ["post_processor", "special_tokens", BOS, "ids"],
            [0],
            "post_processor: expected tokens around the text",
        ),
        (
            ["post_processor", "single", 0, "SpecialToken", "id"],
            "<s>",
            "post_processor: expected tokens around the text",
        ),
    ],
)
def test_what_is_not_understood_is_refused(file, path, value, message):
    content = build()
    set_in(content, path, value)
    with pytest.raises(CheckpointError, match=message) as error:
        read_bpe(write(file, content))
    assert str(error.value).startswith(f"{file}: ")


def walk(content, path=()):
    """Where each value stands, but of the vocabulary only a few."""
    yield path
    pairs = enumerate(content) if isinstance(content, list) else ()
    pairs = content.items() if isinstance(content, dict) else pairs
    for key, value in list(pairs)[-20:]:
        yield from walk(value, (*path, key))


JUNK = [None, True, False, 0, 1, 258, 259, -1, 1.5, 10**30, "", "a", "\ud800", [], {}]
JUNK += [[None], [[]], {"": None}, build()["decoder"], {"type": []}, "aa b", [BOS]]


@given(path=st.sampled_from(list(walk(build()))[1:]), value=st.sampled_from(JUNK))
def test_a_damaged_file_is_refused_or_means_what_it_means_to_the_library(
    file, path, value
):
    content = build()
    set_in(content, path, value)
    try:
        bpe = read_bpe(write(file, content))
    except CheckpointError:
        return
    try:
        library = tokenizers.Tokenizer.from_file(str(file))
    except Exception:  # the library is stricter about what makes no difference
        return
    library.no_truncation()
    library.no_padding()
    assert bpe.encode(TEXT) == library.encode(TEXT, add_special_tokens=False).ids
    assert bpe.bos_ids == Library(library).bos_ids


@given(cut=st.integers(0, len(json.dumps(build())) - 1))
def test_a_file_that_is_cut_off_is_refused(file, cut):
    file.write_text(json.dumps(build())[:cut], encoding="utf-8")
    with pytest.raises(CheckpointError, match="expected JSON, found"):
        read_bpe(file)


def test_a_file_that_is_missing_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="tokenizer.json: No such file"):
        read_bpe(tmp_path / "tokenizer.json")


@pytest.mark.parametrize("key", ["normalizer", "pre_tokenizer", "post_processor"])
@pytest.mark.parametrize("depth", [100, 900, 10_000])
def test_deep_nesting_is_refused(file, key, depth):
    text = json.dumps(build() | {key: "HERE"})
    file.write_text(text.replace('"HERE"', "[" * depth + "]" * depth))
    with pytest.raises(CheckpointError):
        read_bpe(file)
