# tokenizer.c and sampling.c, beside the tokenizers library and the page's neighbours.

import importlib.util
import json
import re
import unicodedata
from copy import deepcopy

import numpy as np
import pytest
import tokenizers
from cport import ANSWER, EXACT, compile_c, needs_compiler, run_c
from encoding import TEXTS, ask
from hypothesis import given, settings
from hypothesis import strategies as st
from shared import REAL, ROOT, needs_shared
from tokenizers import Regex, pre_tokenizers

import minibitnet as mb
from minibitnet.sampling import probabilities
from minibitnet.stories import BUILT_IN
from minibitnet.text.tokenizerfile import read_bpe
from minibitnet.tokenizer import Tokenizer

pytestmark = needs_compiler
TELL = ANSWER.with_name("tell.c")
TOOL = ROOT / "tools" / "write_unicode.py"
UNICODE = ANSWER.with_name("unicode.h")
CONTENT = json.loads((BUILT_IN / "tokenizer.json").read_text(encoding="utf-8"))


def read_ids(place, i):
    return np.fromfile(place / f"{i}.ids", np.int32).tolist()


# ---- letters and numbers


def ranges_of(name):
    """The characters in a table of the header."""
    table = UNICODE.read_text().split(f"{name}[] = {{")[1].split("};")[0]
    pairs = re.findall(r"\{(\w+), (\w+)\}", table)
    return {chr(c) for a, b in pairs for c in range(int(a, 16), int(b, 16) + 1)}


def version_of_header():
    return re.search(r"of Unicode ([\d.]+)", UNICODE.read_text())[1]


@pytest.mark.skipif(
    unicodedata.unidata_version != version_of_header(),
    reason="this Python has another version of Unicode",
)
def test_the_header_is_what_the_tool_writes():
    spec = importlib.util.spec_from_file_location("write_unicode", TOOL)
    write_unicode = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(write_unicode)
    assert UNICODE.read_text() == write_unicode.make_header()


@pytest.mark.parametrize(("name", "kind"), [("LETTERS", "L"), ("NUMBERS", "N")])
def test_each_character_is_what_the_library_takes_it_for(name, kind):
    every = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)
    splitter = pre_tokenizers.Split(
        Regex(rf"\p{{{kind}}}+"), "removed", invert=True
    ).pre_tokenize_str(every)
    here, there = ranges_of(name), set("".join(part for part, _ in splitter))
    assert len(here) > 1000
    assert here <= there
    # What came into Unicode after the header, the library alone knows.
    known = ranges_of("LETTERS") | ranges_of("NUMBERS")
    assert not (there - here) & known
    old = {c for c in there - here if unicodedata.ucd_3_2_0.category(c) != "Cn"}
    assert old == set()


# ---- encoding


@settings(max_examples=4)
@given(st.lists(TEXTS, min_size=40, max_size=80), st.booleans())
def test_it_encodes_as_the_library_does(
    sanitized_answers, tmp_path_factory, texts, bos
):
    place = tmp_path_factory.mktemp("encode")
    ask(place, "encode", texts, bos=bos)
    assert run_c(sanitized_answers, place, place) == (0, b"", "")
    _, tokenizer = mb.load()
    for i, text in enumerate(texts):
        assert read_ids(place, i) == tokenizer.encode(text, bos=bos), text


@needs_shared
def test_it_encodes_as_the_library_does_with_the_tokenizer_of_2b4t(programs, tmp_path):
    library = tokenizers.Tokenizer.from_file(str(REAL / "tokenizer.json"))
    told = (ROOT / "notebooks" / "data" / "told.txt").read_text(encoding="utf-8")
    source = ANSWER.read_text(encoding="ascii")
    texts = [told[:20000], source, "", "né 你好 🦊 Ⅷ½ 'ſ'LL\r\n\r\n  x\u3000<|eot_id|>"]
    ask(tmp_path, "encode", texts, model=REAL, bos=True)
    assert run_c(programs("-O2", source=ANSWER), tmp_path, tmp_path) == (0, b"", "")
    for i, text in enumerate(texts):
        assert read_ids(tmp_path, i) == library.encode(text).ids, text


def change_file(content, place):
    """A model directory with another tokenizer.json."""
    model = place / "other"
    model.mkdir()
    (model / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return model


def merge_across(content):
    """Merges that only a wrong split would let happen."""
    vocab, merges = content["model"]["vocab"], content["model"]["merges"]
    for pair in ("0 0", "00 00", "Å ¿", "Å¿ a"):
        vocab[pair.replace(" ", "")] = len(vocab)
        merges.append(pair.split(" ") if isinstance(merges[0], list) else pair)
    for i, token in enumerate(content["added_tokens"]):
        token["id"] = len(vocab) + i
    (first,) = content["post_processor"]["special_tokens"].values()
    first["ids"] = [len(vocab)]


OTHERS = {  # right, too
    "merges across pieces": merge_across,
    "merges are lists": lambda c: c["model"].update(
        merges=[
            m if isinstance(m, list) else m.split(" ") for m in c["model"]["merges"]
        ]
    ),
    "no whole words": lambda c: c["model"].update(ignore_merges=False),
    "no begin-of-text": lambda c: c.update(post_processor=None),
    "bytes before begin-of-text": lambda c: c.update(
        post_processor={
            "type": "Sequence",
            "processors": [{"type": "ByteLevel"}, c["post_processor"]],
        }
    ),
    "one special token in another": lambda c: c["added_tokens"].append(
        {**c["added_tokens"][0], "id": 4096, "content": "<|eot_id|>>"}
    ),
    "a word of the vocabulary is special": lambda c: c["added_tokens"].append(
        {**c["added_tokens"][0], "id": c["model"]["vocab"]["the"], "content": "the"}
    ),
    "merges before what they merge": lambda c: c["model"]["merges"].reverse(),
}


@pytest.mark.parametrize("change", OTHERS.values(), ids=OTHERS)
def test_other_files_of_the_kind_are_read(sanitized_answers, tmp_path, change):
    content = deepcopy(CONTENT)
    change(content)
    model = change_file(content, tmp_path)
    texts = [
        "Once upon a time",
        "the other<|eot_id|>>the<|eot_id|>",
        "aa  thin\n bb",
        "00000'ſa ſa",
    ]
    texts.append("<|begin_of_text|>begun")
    ask(tmp_path, "encode", texts, model=model, bos=True)
    assert run_c(sanitized_answers, tmp_path, tmp_path) == (0, b"", "")
    tokenizer = Tokenizer(read_bpe(model / "tokenizer.json"), None)
    for i, text in enumerate(texts):
        assert read_ids(tmp_path, i) == tokenizer.encode(text), text


def put(*keys, value):
    """A change of the file: what stands at the end of these keys is another."""

    def change(content):
        *path, last = keys
        for key in path:
            content = content[key]
        content[last] = value

    return change


SPLIT = ("pre_tokenizer", "pretokenizers", 0)
DAMAGES = [
    put("version", value="2.0"),
    put("normalizer", value={"type": "NFC"}),
    put("pre_tokenizer", value=None),
    put("pre_tokenizer", "pretokenizers", value=[]),
    put("pre_tokenizer", "pretokenizers", value="ab"),
    put(*SPLIT, "pattern", value={"Regex": "."}),
    put(*SPLIT, "pattern", value={"String": " "}),
    put(*SPLIT, "pattern", value=3),
    put(*SPLIT, "behavior", value="Removed"),
    put(*SPLIT, "invert", value=True),
    put("pre_tokenizer", "pretokenizers", 1, "add_prefix_space", value=True),
    put("decoder", "type", value="BPEDecoder"),
    put("model", value=[]),
    put("model", "type", value="WordPiece"),
    put("model", "byte_fallback", value=True),
    put("model", "dropout", value=0.5),
    put("model", "ignore_merges", value="yes"),
    put("model", "vocab", value={}),
    put("model", "vocab", value=["a"]),
    put("model", "vocab", "the", value=-1),
    put("model", "vocab", "the", value=9**30),
    put("model", "vocab", "a b", value=4093),
    put("model", "merges", value=None),
    put("model", "merges", value={"a": "b"}),
    *(
        put("model", "merges", 0, value=pair)
        for pair in ("a", "a b c", "zq zq", " ", "", ["a"], ["a", 3], [], 3, {}, "Ġ Ġt")
    ),
    put("added_tokens", value=None),
    put("added_tokens", value=[3]),
    put("added_tokens", 1, "content", value="<|begin_of_text|>"),
    put("added_tokens", 1, "content", value=""),
    put("added_tokens", 1, "content", value="é"),
    put("added_tokens", 1, "id", value=4095),
    put("added_tokens", 1, "id", value=None),
    put("added_tokens", 1, "lstrip", value=True),
    put("added_tokens", 1, "special", value=False),
    put("post_processor", "single", value=[]),
    put("post_processor", "single", value=3),
    put("post_processor", "single", 0, value={"SpecialToken": {"id": "<s>"}}),
    put("post_processor", "type", value="BertProcessing"),
    put("post_processor", "special_tokens", value={}),
    put("post_processor", "special_tokens", "<|begin_of_text|>", "ids", value=[1]),
]


@pytest.mark.parametrize("change", DAMAGES, ids=map(str, range(len(DAMAGES))))
def test_a_damaged_file_is_refused(sanitized_answers, tmp_path, change):
    content = deepcopy(CONTENT)
    change(content)
    model = change_file(content, tmp_path)
    with pytest.raises(ValueError):  # noqa: PT011
        read_bpe(model / "tokenizer.json")
    ask(tmp_path, "encode", ["Once"], model=model, bos=True)
    status, out, line = run_c(sanitized_answers, tmp_path, tmp_path)
    assert (status, out, line.count("\n")) == (0, b"", 1)
    assert re.match("bitnet: .*expected", line)
    assert not (tmp_path / "0.ids").exists()


def test_a_pair_has_one_rank(sanitized_answers, tmp_path):
    content = deepcopy(CONTENT)  # the library takes the last; no training writes two
    content["model"]["merges"].append(content["model"]["merges"][0])
    ask(tmp_path, "encode", ["a"], model=change_file(content, tmp_path), bos=True)
    assert "expected each pair once" in run_c(sanitized_answers, tmp_path, tmp_path)[2]
    assert not (tmp_path / "0.ids").exists()


def test_a_file_that_ends_anywhere_is_refused(sanitized_answers, tmp_path):
    content = deepcopy(CONTENT)
    content["model"]["merges"] = content["model"]["merges"][:9]
    whole = json.dumps(content)
    model = change_file(content, tmp_path)
    ask(tmp_path, "encode", ["Once"], model=model, bos=True)
    for end in range(0, len(whole), len(whole) // 40):
        (model / "tokenizer.json").write_text(whole[:end])
        status, _, line = run_c(sanitized_answers, tmp_path, tmp_path)
        assert (status, line.count("\n")) == (0, 1)
        assert not (tmp_path / "0.ids").exists()


def test_a_text_that_is_not_utf8_is_refused(sanitized_answers, tmp_path):
    ask(tmp_path, "encode", ["....", "abc"], bos=True)
    (tmp_path / "0.text").write_bytes(b"a\xf0\x9f\xa6")
    status, _, line = run_c(sanitized_answers, tmp_path, tmp_path)
    assert (status, line) == (0, "bitnet: expected text in UTF-8, found a byte f0\n")
    assert read_ids(tmp_path, 1) == mb.load()[1].encode("abc")


def test_a_long_word_takes_no_age(programs, tmp_path):
    texts = ["a" * 30_000, "0" * 300_000, " " * 300_000 + "\n", "thin" * 9_000]
    ask(tmp_path, "encode", texts, bos=False)
    run_c(programs("-O2", source=ANSWER), tmp_path, tmp_path)
    bpe = read_bpe(BUILT_IN / "tokenizer.json")
    for i, text in enumerate(texts):
        assert read_ids(tmp_path, i) == bpe.encode(text)


def test_it_tells_the_same_story(programs):
    model, tokenizer = mb.load()
    ids = tokenizer.encode("Once upon a time")
    told = tokenizer.decode([*ids, *mb.generate(model, ids, max_new_tokens=99)])
    done = run_c(programs("-O2", EXACT, source=TELL), BUILT_IN, "Once upon a time", 99)
    assert done == (0, f"{told}\n".encode(), "")


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ([BUILT_IN], "expected DIR TEXT [N]"),
        ([BUILT_IN, "a", "1", "2"], "expected DIR TEXT [N]"),
        ([BUILT_IN, "a", "1,2"], "expected one number of tokens, found 1,2"),
        ([BUILT_IN, "a", "-1"], "expected numbers as 1,2,3, found -1"),
        ([BUILT_IN / "no", "a"], "No such file or directory"),
        ([BUILT_IN, "\udcff"], "expected text in UTF-8, found a byte ff"),
    ],
)
def test_a_mistake_is_one_line(programs, words, found):
    status, out, line = run_c(programs("-O2", EXACT, source=TELL), *words)
    assert (status, out, line.count("\n")) == (1, b"", 1)
    assert found in line


# ---- chat

ROLES = st.sampled_from(
    ["user", "USER", "system", "aSSistant", "tool", "<|eot_id|>", ""]
)
MESSAGES = st.lists(
    st.fixed_dictionaries({"role": ROLES, "content": TEXTS}), min_size=1, max_size=4
)


@settings(max_examples=4)
@given(st.lists(MESSAGES, min_size=20, max_size=40), st.booleans())
def test_it_writes_conversations_as_the_library_does(
    sanitized_answers, tmp_path_factory, conversations, ascii_only
):
    for messages in conversations:
        for message in messages:  # the end of a string in C
            message["content"] = message["content"].replace("\0", "\x01")
    place = tmp_path_factory.mktemp("chat")
    written = [json.dumps(m, ensure_ascii=ascii_only) for m in conversations]
    ask(place, "chat", written)
    assert run_c(sanitized_answers, place, place) == (0, b"", "")
    _, tokenizer = mb.load()
    for i, messages in enumerate(conversations):
        assert read_ids(place, i) == tokenizer.chat(messages), messages


def test_characters_of_json_may_be_escaped(sanitized_answers, tmp_path):
    messages = [
        {"role": "user", "content": "\x1fé\u07ff\u0800你\uffff🦊\U0010ffff\x01"}
    ]
    ask(tmp_path, "chat", [json.dumps(messages)])
    assert run_c(sanitized_answers, tmp_path, tmp_path) == (0, b"", "")
    assert read_ids(tmp_path, 0) == mb.load()[1].chat(messages)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("[]", "messages: expected one at least, found none"),
        ("{}", "messages: expected one list of JSON"),
        ("[] []", "messages: expected one list of JSON"),
        ('["a"]', "messages: expected an object"),
        ('[{"role": "user"}]', "messages: content: expected a text, found none"),
        ('[{"role": 3, "content": "a"}]', "messages: role: expected a text"),
        ('[{"role": "user", "content": "a", "name": "b"}]', "messages: name: expected"),
        ('[{"role": "é", "content": "a"}]', "role: expected it in ASCII"),
        (r'[{"role": "a", "content": "\ud83ea"}]', "expected a character in JSON"),
        (r'[{"role": "a", "content": "\ud83e\u0041"}]', "expected a character in JSON"),
        (r'[{"role": "a", "content": "\udd8a"}]', "expected a character in JSON"),
        (r'[{"role": "a", "content": "\u0000"}]', "expected a character in JSON"),
    ],
)
def test_what_is_no_conversation_is_refused(
    sanitized_answers, tmp_path, written, found
):
    ask(tmp_path, "chat", [written])
    status, _, line = run_c(sanitized_answers, tmp_path, tmp_path)
    assert (status, line.count("\n")) == (0, 1)
    assert line.startswith(f"bitnet: {found}")
    assert not (tmp_path / "0.ids").exists()


# ---- chance


def ask_numbers(place, operation, inputs, **parameters):
    """One vector."""
    entries = {}
    for name, array in inputs.items():
        array.tofile(place / name)
        entries[name] = {
            "dtype": array.dtype.name,
            "shape": [*array.shape],
            "file": name,
        }
    outputs = {name: {"file": f"{name}.out"} for name in ("p", "id")}
    vector = {
        "operation": operation,
        "parameters": parameters,
        "inputs": entries,
        "outputs": outputs,
    }
    manifest = {"format": "minibitnet-vectors", "contract": 2, "vectors": [vector]}
    (place / "manifest.json").write_text(json.dumps(manifest))


LOGITS = st.lists(st.sampled_from([0, 1, 2, 2.5, -3]) | st.floats(-50, 50, width=32))


@settings(max_examples=40)
@given(
    LOGITS.filter(len),
    st.floats(0.01, 10),
    st.integers(0, 9),
    st.floats(0.01, 1) | st.just(1.0),
    st.floats(0, 1, exclude_max=True),
)
def test_probabilities_are_the_same_and_so_is_what_is_picked(
    sanitized_answers, tmp_path_factory, logits, temperature, top_k, top_p, u
):
    place = tmp_path_factory.mktemp("chance")
    parameters = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    logits = np.float32(logits)
    ask_numbers(place, "probabilities", {"logits": logits}, **parameters)
    assert run_c(sanitized_answers, place, place) == (0, b"", "")
    found = np.fromfile(place / "p.out", np.float64)
    np.testing.assert_allclose(
        found, probabilities(logits, **parameters), rtol=0, atol=1e-12
    )
    ask_numbers(place, "pick", {"p": found, "u": np.float64([u])})
    assert run_c(sanitized_answers, place, place) == (0, b"", "")
    sums = found.cumsum()
    right = np.searchsorted(sums / sums[-1], u, "right")
    assert np.fromfile(place / "id.out", np.int32).tolist() == [right]


@pytest.mark.parametrize(
    ("operation", "inputs", "parameters"),
    [
        ("probabilities", {"logits": np.float32([0, np.nan])}, {}),
        ("probabilities", {"logits": np.float32([0, np.inf])}, {}),
        ("probabilities", {"logits": np.float32([])}, {}),
        ("probabilities", {"logits": np.float32([0])}, {"temperature": 0}),
        ("probabilities", {"logits": np.float32([0])}, {"temperature": -1}),
        ("probabilities", {"logits": np.float32([0])}, {"top_k": -1}),
        ("probabilities", {"logits": np.float32([0])}, {"top_p": 0}),
        ("probabilities", {"logits": np.float32([0])}, {"top_p": 1.1}),
        ("pick", {"p": np.float64([]), "u": np.float64([0])}, {}),
        ("pick", {"p": np.float64([0, 0]), "u": np.float64([0])}, {}),
        ("pick", {"p": np.float64([1]), "u": np.float64([1])}, {}),
        ("pick", {"p": np.float64([1]), "u": np.float64([np.nan])}, {}),
        ("pick", {"p": np.float32([1]), "u": np.float64([0])}, {}),
    ],
)
def test_chances_that_are_none_are_refused(
    sanitized_answers, tmp_path, operation, inputs, parameters
):
    ask_numbers(tmp_path, operation, inputs, **parameters)
    status, _, line = run_c(sanitized_answers, tmp_path, tmp_path)
    assert (status, line.count("\n")) == (0, 1)
    assert "expected" in line
    assert not {*tmp_path.glob("*.out")}


def test_they_compile_without_a_warning_and_their_lines_can_be_printed(tmp_path):
    strict = ("-std=c99", "-Wall", "-Wextra", "-pedantic", "-Werror", "-O2")
    assert compile_c(ANSWER, tmp_path / "answer", *strict) == ""
    for name in ("tokenizer.c", "sampling.c", "unicode.h", "tell.c"):
        lines = ANSWER.with_name(name).read_text(encoding="ascii").splitlines()
        assert max(map(len, lines)) <= 100
