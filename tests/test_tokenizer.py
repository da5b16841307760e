import json
import sys

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from shared import REAL, needs_shared, read_shared
from tokenizers import decoders, models, pre_tokenizers, processors, trainers

from minibitnet import CheckpointError
from minibitnet.bpe import BPE
from minibitnet.files.published import CONFIG
from minibitnet.stories import BUILT_IN
from minibitnet.tokenizer import (
    CHAT_TEMPLATE,
    Library,
    Tokenizer,
    load_tokenizer,
    render_chat,
)

BOS, EOT = "<|begin_of_text|>", "<|eot_id|>"
WORLD = "Say hello to the whole wide world. "


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    """A byte-level tokenizer of the kind that 2B4T has, trained on a sentence."""
    inner = tokenizers.Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=[BOS, EOT], initial_alphabet=alphabet
    )
    inner.train_from_iterator([WORLD], trainer)
    inner.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, inner.token_to_id(BOS))]
    )
    directory = tmp_path_factory.mktemp("tokenizer")
    inner.save(str(directory / "tokenizer.json"))
    config = {"chat_template": CHAT_TEMPLATE}
    (directory / "tokenizer_config.json").write_text(json.dumps(config))
    return directory


@pytest.fixture(scope="module")
def tokenizer(directory):
    return load_tokenizer(directory)


# Special tokens spelled out are taken as such, and left out of what is decoded.
TEXTS = st.text(max_size=30).filter(lambda text: "<|" not in text)


@given(text=TEXTS)
def test_a_text_comes_back_and_begins_once(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert ids[0] == tokenizer.bos_ids[0]
    assert tokenizer.bos_ids[0] not in ids[1:]
    assert tokenizer.encode(BOS + text) == ids


@given(text=TEXTS)
def test_a_text_comes_whole_when_streamed(tokenizer, text):
    # each letter of several bytes, which are tokens of their own, arrives in one piece
    pieces = list(tokenizer.stream(tokenizer.encode(text)))
    assert "".join(pieces) == text


def test_a_tokenizer_without_begin_of_text_puts_none(tokenizer):
    inner = tokenizers.Tokenizer.from_str(tokenizer.inner.library.to_str())
    inner.post_processor = processors.ByteLevel()
    plain = Tokenizer(Library(inner), None)
    assert plain.encode(WORLD) == tokenizer.encode(WORLD)[1:]


def test_the_blank_after_the_last_colon_is_kept():
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "USER", "content": "\n Hi \t"},
        {"role": "assistant", "content": "Hello."},
        {"role": "tool", "content": "7"},
    ]
    assert render_chat(chat) == (
        "System: Be brief.<|eot_id|>User: Hi<|eot_id|>Assistant: Hello.<|eot_id|>"
        "Tool: 7<|eot_id|>Assistant: "
    )


def test_a_conversation_begins_once_and_ends_where_the_answer_begins(tokenizer):
    ids = tokenizer.chat([{"role": "user", "content": "hello"}])
    assert ids == tokenizer.encode("User: hello<|eot_id|>Assistant: ")
    assert ids.count(tokenizer.bos_ids[0]) == 1
    assert ids.count(tokenizer.inner.library.token_to_id(EOT)) == 1


def test_without_a_chat_template_there_is_no_conversation(tokenizer):
    other = Tokenizer(tokenizer.inner, None)
    assert other.end_of_turn == {}
    with pytest.raises(ValueError, match="chat_template: there is none"):
        other.chat([{"role": "user", "content": "hello"}])


@pytest.mark.parametrize(
    ("template", "is_2b4t"),
    [
        (CHAT_TEMPLATE + "\n", True),
        (CHAT_TEMPLATE.replace("'", '"').replace("%}{", "%}\r\n{") + "\n", True),
        ("{{ messages[0]['content'] }}", False),
        ("{% damaged", False),
        ("", False),
    ],
)
def test_the_template_is_known_in_any_spelling(tokenizer, tmp_path, template, is_2b4t):
    text = tokenizer.inner.library.to_str()
    (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")
    (tmp_path / "chat_template.jinja").write_bytes(template.encode())
    found = load_tokenizer(tmp_path)
    assert found.is_2b4t == is_2b4t
    if is_2b4t:
        messages = [{"role": "user", "content": "hello"}]
        assert found.chat(messages) == tokenizer.chat(messages)
        assert found.end_of_turn == tokenizer.end_of_turn != {}


def test_special_tokens_are_known_to_a_template_by_name(tokenizer, tmp_path):
    text = tokenizer.inner.library.to_str()
    (tmp_path / "tokenizer.json").write_text(text, encoding="utf-8")
    config = {"chat_template": "{{ eos_token }}{{ bos_token }}a", "eos_token": EOT}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    found = load_tokenizer(tmp_path)
    ids = found.chat([{"role": "user", "content": "hello"}])
    assert ids == tokenizer.encode(f"{EOT}a", bos=False)  # as the template has it


def test_without_jinja_other_templates_are_refused(tokenizer, monkeypatch):
    monkeypatch.delitem(sys.modules, "minibitnet.text.jinja", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delattr("minibitnet.text.jinja", raising=False)
    other = Tokenizer(tokenizer.inner, CHAT_TEMPLATE + "a")
    messages = [{"role": "user", "content": "hello"}]
    assert tokenizer.chat(messages)
    assert other.end_of_turn == {}
    with pytest.raises(ValueError, match="chat_template: .* needs jinja2, which is no"):
        other.chat(messages)


def test_a_text_that_is_not_utf8_is_refused(tokenizer):
    with pytest.raises(ValueError, match="text must be UTF-8, got 'a"):
        tokenizer.encode("a\udcff")


def test_a_tokenizer_that_cuts_and_pads_does_neither_here(tokenizer, tmp_path):
    inner = tokenizers.Tokenizer.from_str(tokenizer.inner.library.to_str())
    inner.enable_truncation(3)
    inner.enable_padding(length=99)
    inner.save(str(tmp_path / "tokenizer.json"))
    assert load_tokenizer(tmp_path).encode(WORLD) == tokenizer.encode(WORLD)


@pytest.mark.parametrize(
    "message",
    [
        *({}, {"role": "user"}, {"content": "hello"}),
        *({"role": "user", "content": None}, {"role": 1, "content": "hello"}, "hello"),
        {"role": "user", "content": "hello", "name": "Ada"},
    ],
)
def test_a_message_that_is_not_a_role_and_a_content_is_refused(tokenizer, message):
    with pytest.raises(ValueError, match="must have role and content, both texts, and"):
        tokenizer.chat([message])


def test_a_conversation_of_nothing_is_refused(tokenizer):
    with pytest.raises(ValueError, match="messages must be at least one"):
        tokenizer.chat([])


def test_a_directory_without_a_tokenizer_has_none(tmp_path):
    assert load_tokenizer(tmp_path) is None


def test_a_damaged_tokenizer_is_refused(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": 7}')
    with pytest.raises(CheckpointError, match="tokenizer.json: expected a tokenizer"):
        load_tokenizer(tmp_path)


def test_without_its_config_a_tokenizer_has_no_chat(directory, tmp_path):
    (tmp_path / "tokenizer.json").write_bytes(
        (directory / "tokenizer.json").read_bytes()
    )
    assert load_tokenizer(tmp_path).chat_template is None


@pytest.fixture(scope="module")
def llama3():
    return load_tokenizer(REAL)


@needs_shared
def test_published_texts_have_their_published_ids(llama3):
    vectors = read_shared("golden/tokenizer_vectors.json")
    assert len(vectors["no_bos"]) + len(vectors["with_bos"]) > 20
    for text, ids in vectors["no_bos"]:
        assert llama3.encode(text) == [CONFIG["bos_token_id"], *ids]
    for text, ids in vectors["with_bos"]:
        assert llama3.encode(text) == ids


@needs_shared
@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("1234567", [4513, 10961, 22]),  # digits in threes, from the left
        ("I'LL don't", [40, 6, 4178, 1541, 956]),
        ("   ", [262]),
        (" Paris", [12366]),
        ("Paris", [60704]),
        (
            "Hello, world!  \n\n\tI'm 12345 and the naïve café ☕️",
            [9906, 11, 1917, 0, 19124, 25494, 2846, 220, 4513, 1774, 323, 279, 95980]
            + [588, 53050, 26182, 243, 31643],
        ),
    ],
)
def test_texts_that_trip_other_splitters_have_their_ids(llama3, text, ids):
    assert llama3.encode(text) == [128000, *ids]
    assert llama3.decode([128000, *ids]) == text
    assert "".join(llama3.stream(ids)) == text


@needs_shared
def test_the_template_is_the_checkpoints_own(llama3):
    assert llama3.chat_template == CHAT_TEMPLATE


@needs_shared
def test_a_recorded_conversation_has_its_recorded_ids(llama3):
    ids = llama3.chat(
        [
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": "What is the capital of France?"},
        ]
    )
    system = [2374, 25, 1472, 527, 264, 11190, 18328, 13, 128009]
    user = [1502, 25, 3639, 374, 279, 6864, 315, 9822, 30, 128009]
    assert ids == [128000, *system, *user, 72803, 25, 220]


@needs_shared
def test_the_prompts_of_published_answers_have_their_ids(llama3):
    greedy = read_shared("golden/greedy_and_logits.json")
    food = [{"role": "user", "content": "What is your favourite food?"}]
    assert (
        llama3.chat(food) == greedy["hf_transformers_bf16"]["greedy"]["prompt_ids_now"]
    )
    rust = greedy["camelid_rust_i2s"]
    assert llama3.encode(rust["prompt"]) == rust["prompt_ids"]
    assert llama3.decode(rust["greedy_ids_before_stop"]) == rust["text"]
    cpp = greedy["bitnet_cpp_i2s"]
    assert llama3.encode(cpp["prompt"]) == cpp["prompt_ids"]
    assert llama3.decode(cpp["greedy_ids"]) == cpp["greedy_text"]


def test_a_stream_goes_on_after_its_prompt(tokenizer):
    ids = tokenizer.encode("h\u00e9llo w\u00f6rld")
    for n in range(len(ids)):
        before, whole = tokenizer.decode(ids[:n]), tokenizer.decode(ids)
        pieces = list(tokenizer.stream(iter(ids[n:]), after=iter(ids[:n])))
        if whole.startswith(before):  # else the prompt ends inside a letter
            assert before + "".join(pieces) == whole


def test_begin_of_text_may_be_several_tokens(tokenizer):
    inner = tokenizers.Tokenizer.from_str(tokenizer.inner.library.to_str())
    ids = [(token, inner.token_to_id(token)) for token in (BOS, EOT)]
    inner.post_processor = processors.TemplateProcessing(
        single=f"{EOT} {BOS} $A {EOT}", special_tokens=ids
    )
    both = Tokenizer(Library(inner), None)
    begin = [ids[1][1], ids[0][1]]
    assert both.encode("hello") == begin + tokenizer.encode("hello", bos=False)
    assert both.encode(f"{EOT}{BOS}hello") == both.encode("hello")
    assert both.encode(f"{BOS}hello") == begin + tokenizer.encode("hello")


def test_a_text_that_continues_another_begins_with_no_begin_of_text(tokenizer):
    ids = tokenizer.encode("hello")
    assert tokenizer.encode("hello", bos=False) == ids[1:]


@pytest.fixture(scope="module")
def both():
    """The built-in tokenizer by the library, and by byte-pair encoding as here."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(sys.modules, "tokenizers", None)
        plain = load_tokenizer(BUILT_IN)
    library = load_tokenizer(BUILT_IN)
    assert (type(library.inner), type(plain.inner)) == (Library, BPE)
    return library, plain


@given(st.text(max_size=40) | st.text("aeot<|>_id \n\ud7ff\U0001f600", max_size=40))
def test_without_the_library_ids_and_texts_are_the_same(both, text):
    library, plain = both
    ids = plain.encode(text)
    assert ids == library.encode(text)
    assert plain.decode(ids) == library.decode(ids)
    assert "".join(plain.stream(ids)) == plain.decode(ids)


def test_without_the_library_conversations_and_refusals_are_the_same(both):
    library, plain = both
    messages = [{"role": "user", "content": "Tell me of a fox."}]
    assert plain.chat(messages) == library.chat(messages)
    for tokenizer in both:
        with pytest.raises(ValueError, match="text must be UTF-8"):
            tokenizer.encode("\ud800")
