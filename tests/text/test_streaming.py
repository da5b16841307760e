import json
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import decoders, models

from minibitnet.stories import BUILT_IN
from minibitnet.text.library import Library
from minibitnet.text.streaming import KEPT, stream, until
from minibitnet.text.tokenizerfile import read_bpe

RECORDED = Path(__file__).parents[1] / "chats.json"
SPACE = "\u2581"


def recorded(name):
    content = json.loads(RECORDED.read_text(encoding="utf-8"))["tokenizers"][name]
    return Library(tokenizers.Tokenizer.from_str(json.dumps(content)))


def of_words(decoder):
    """Words with and without a space, a broken letter and a sign as tokens."""
    words = ["<s>", SPACE, f"{SPACE}a", f"{SPACE * 2}b", "c", "##d", ".", "\ufffd"]
    inner = tokenizers.Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(words)}, "<s>")
    )
    inner.add_special_tokens(["<s>"])
    inner.decoder = decoder
    return Library(inner)


TOKENIZERS = {
    "built-in": lambda: read_bpe(BUILT_IN / "tokenizer.json"),
    "built-in, by the library": lambda: Library(
        tokenizers.Tokenizer.from_file(str(BUILT_IN / "tokenizer.json"))
    ),
    "bytes": lambda: recorded("bytes"),
    "byte fallback": lambda: recorded("fallback"),
    "metaspace": lambda: of_words(decoders.Metaspace()),
    "word pieces": lambda: of_words(decoders.WordPiece()),
    "one space off": lambda: of_words(
        decoders.Sequence(
            [decoders.Replace(SPACE, " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
    ),
    "all spaces off": lambda: of_words(
        decoders.Sequence(
            [decoders.Replace(SPACE, " "), decoders.Fuse(), decoders.Strip(" ", 9, 0)]
        )
    ),
    "endings": lambda: of_words(decoders.BPEDecoder("c")),
}


@pytest.fixture(scope="module", params=TOKENIZERS)
def inner(request):
    return TOKENIZERS[request.param]()


def known(inner):
    """The number of ids, of which the first 300 have the bytes among them."""
    if isinstance(inner, Library):
        return inner.library.get_vocab_size()
    return len({*inner.spelled, *inner.special.values()})


@st.composite
def texts(draw, inner):
    """Ids of letters cut in two, of tokens in a row, of any kind."""
    size = known(inner)
    few = draw(st.lists(st.integers(0, size - 1), min_size=1, max_size=4))
    kinds = st.integers(0, size - 1) | st.integers(0, min(size, 300) - 1)
    if isinstance(inner, Library):  # byte by byte, which is no way to spell
        letters = "\u00e9\u6f22\U0001f600 a".encode()
        ids = {byte: inner.library.token_to_id(f"<0x{byte:02X}>") for byte in letters}
        few += [i for i in ids.values() if i is not None]
    return draw(st.lists(st.sampled_from(few) | kinds, max_size=60))


@given(data=st.data())
def test_the_pieces_are_the_text(inner, data):
    tokens = data.draw(texts(inner))
    pieces = list(stream(inner, tokens))
    assert "".join(pieces) == inner.decode(tokens)
    assert len(pieces) - len(tokens) in (0, 1)


def test_a_token_costs_the_same_however_many_came_before(inner, monkeypatch):
    decoded = []
    decode = inner.decode

    def noted(ids):
        decoded.append(len(list(ids)))
        return decode(ids)

    if isinstance(inner, Library):
        monkeypatch.setattr(inner, "decode", noted)
        size = known(inner)
        list(stream(inner, [i % size for i in range(2000)]))
        row = max(1, len(inner.byte_ids))
        assert max(decoded) <= 2 * KEPT + row


def test_a_long_row_of_bytes_is_decoded_once(monkeypatch):
    inner = recorded("fallback")
    calls = []
    decode = inner.decode
    monkeypatch.setattr(inner, "decode", lambda ids: calls.append(1) or decode(ids))
    tokens = [inner.library.token_to_id(f"<0x{byte:02X}>") for byte in b"ab" * 999]
    assert "".join(stream(inner, tokens)) == "ab" * 999
    assert len(calls) < 9


def test_a_row_of_bytes_goes_on_from_a_prompt_of_many():
    inner = recorded("fallback")
    before = "hello there, " + "\u6f22\u5b57" * 5  # bytes to its end
    after, tokens = inner.encode(before), inner.encode("\u6f22\u5b57 the")[1:]
    assert after[-1] in inner.byte_ids
    assert before + "".join(stream(inner, tokens, after)) == inner.decode(
        after + tokens
    )


def test_a_decoder_that_changes_its_mind_is_found_out():
    inner = of_words(
        decoders.Sequence([decoders.Fuse(), decoders.Replace("c.", "other")])
    )
    tokens = [inner.library.token_to_id(word) for word in ("##d", "c", ".")]
    with pytest.raises(ValueError, match="changes text that came before"):
        list(stream(inner, tokens))


def test_a_prompt_that_ends_inside_a_letter_is_gone_on_with():
    inner = TOKENIZERS["built-in"]()
    a, b = (inner.vocabulary[bytes([byte])] for byte in "\u00e9".encode())
    assert list(stream(inner, [b], after=[a])) == ["\u00e9"]
    assert list(stream(inner, [], after=[a])) == []
    # a character that looks like a broken one, but is whole
    whole = [inner.vocabulary[bytes([byte])] for byte in "\ufffd".encode()]
    assert list(stream(inner, whole, after=whole)) == ["", "", "", "\ufffd"]


@pytest.mark.parametrize(
    ("text", "stop", "written"),
    [
        ("one two three", ["two"], "one two"),
        ("one two three", ["three", "ne t"], "one t"),
        ("one two three", ["four"], "one two three"),
        ("caf\u00e9 \u6f22\u5b57", ["\u6f22"], "caf\u00e9 \u6f22"),
        ("a\n\nb", ["\n\n"], "a\n\n"),
        ("", ["a"], ""),
    ],
)
@pytest.mark.parametrize("name", ["built-in", "bytes", "byte fallback"])
def test_a_text_ends_with_the_token_that_completes_a_stop_string(
    name, text, stop, written
):
    inner = TOKENIZERS[name]()
    after = inner.encode("two" + text[:0])
    tokens = inner.encode(text)[name == "byte fallback" :]  # without its first space
    passed = list(until((i for i in tokens), stop, inner, after))
    found = "".join(stream(inner, passed, after))
    if name != "built-in":  # whose tokens are words
        assert found == written
    assert found.startswith(written)
    assert not any(end in "".join(stream(inner, passed[:-1], after)) for end in stop)


@given(data=st.data())
def test_behind_a_prompt_the_pieces_are_the_rest_of_the_text(inner, data):
    after, tokens = data.draw(texts(inner)), data.draw(texts(inner))
    before, whole = inner.decode(after), inner.decode(after + tokens)
    pieces = "".join(stream(inner, tokens, after))
    if whole.startswith(before):
        assert before + pieces == whole
