import json
import random
import re
import unicodedata

import pytest
import tokenizers
from hypothesis import example, given
from hypothesis import strategies as st
from shared import DATA, REAL, ROOT, needs_shared
from tokenizers import Regex, pre_tokenizers

from minibitnet.bpe import BPE, SPLIT, merge, split, stand_in
from minibitnet.stories import BUILT_IN
from minibitnet.text.streaming import stream
from minibitnet.text.tokenizerfile import LETTERS, read_bpe
from minibitnet.tokenizer import render_chat

# Each has tripped a splitter, here or elsewhere.
HARD = [
    *(" ", "  ", "\n", "\r", "\r\n", "\t", " \n", "\x0b", "\x0c", "\x1c", "\x1d"),
    *("\x1e", "\x1f", "\x85", "\xa0", "\u1680", "\u180e", "\u2003", "\u200b"),
    *("\u2028", "\u2029", "\u202f", "\u205f", "\u3000", "\ufeff"),
    *("'s", "'S", "'ſ", "'t", "'T", "'re", "'Re", "'vE", "'m", "'LL", "'lL", "'D"),
    *("'", "''", "’s", "'K", "don't", "WE'LL", "'tis", "s", "ll", "ſ", "\u212a"),
    *("a", "Z", "é", "e\u0301", "\u0301", "ß", "ﬆ", "İ", "ı", "ǆ", "ª", "ʰ", "Ω"),
    *(
        "漢字",
        "一",
        "〇",
        "かな",
        "한글",
        "ไทย",
        "हिन्दी",
        "العربية",
        "עברית",
        "𝔞",
        "𠀀",
    ),
    *("0", "12", "345", "6789", "٣", "५", "Ⅷ", "½", "²", "⑳", "𝟘", "\U0001f101"),
    *(
        "!",
        "...",
        "_",
        "-",
        "==",
        "$",
        "€",
        "§",
        "°",
        "☕\ufe0f",
        "👩\u200d👧",
        "🏳️\u200d🌈",
    ),
    *("\0", "\x7f", "\x80", "\xad", "\u202e", "\ufffd", "\ue000", "\U0010ffff"),
    *("<|eot_id|>", "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|", "<|", "|>"),
    *(" the", " Hello", "ing", " of", "User: ", "Assistant: ", "def f(x):\n    "),
]
# A character that Unicode got after this Python is one thing here, another there.
KNOWN = st.characters(exclude_categories=["Cn", "Cs"])
TEXTS = st.lists(st.sampled_from(HARD) | st.text(KNOWN, max_size=3), max_size=30).map(
    "".join
)
# Beyond are tags and characters for private use.
EVERY = [chr(i) for i in range(0x40000) if not 0xD800 <= i < 0xE000]


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(BUILT_IN, id="built-in"),
        pytest.param(REAL, id="2b4t", marks=needs_shared),
    ],
)
def directory(request):
    return request.param


@pytest.fixture(scope="module")
def bpe(directory):
    return read_bpe(directory / "tokenizer.json")


@pytest.fixture(scope="module")
def library(directory):
    return tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))


@pytest.fixture(scope="module")
def ordinary(directory):
    """The library, told to take special tokens for text."""
    library = tokenizers.Tokenizer.from_file(str(directory / "tokenizer.json"))
    library.encode_special_tokens = True
    return library


def check(bpe, library, text):
    ids = library.encode(text, add_special_tokens=False).ids
    assert bpe.encode(text) == ids, repr(text)
    assert bpe.decode(ids) == library.decode(ids)


# ---- splitting


def found_by_library(pattern):
    splitter = pre_tokenizers.Split(Regex(f"(?:{pattern})+"), "removed", invert=True)
    pieces = splitter.pre_tokenize_str("".join(EVERY))
    return set("".join(piece for piece, _ in pieces))


def test_every_character_is_of_the_kind_that_the_library_takes_it_for():
    stands_in = {c: stand_in.__wrapped__(c) for c in EVERY}
    unknown_to_library = found_by_library(r"\p{Cn}")
    for pattern, in_ascii in [
        (r"\p{L}", "[a-zA-Z]"),
        (r"\p{N}", r"\d"),
        (r"\s", r"\s"),
    ]:
        kind = re.compile(in_ascii, re.ASCII)
        here = {
            c for c, ascii_character in stands_in.items() if kind.match(ascii_character)
        }
        there = found_by_library(pattern)
        # What only one of the two versions of Unicode has does not count.
        assert all(unicodedata.category(c) == "Cn" for c in there - here)
        assert here - there <= unknown_to_library
        assert len(here & there) > 20


@pytest.mark.parametrize("form", ["'{} ", "'{}e", "'{}l", "'l{} ", "'r{} ", "'v{} "])
def test_contractions_are_those_of_the_library_in_every_case(form):
    cased = [c for c in EVERY if {c.lower(), c.upper(), c.casefold()} != {c}]
    text = "".join(form.format(c) for c in cased)
    splitter = pre_tokenizers.Split(Regex(SPLIT), "isolated")
    assert split(text) == [piece for piece, _ in splitter.pre_tokenize_str(text)]
    assert len(cased) > 2000


@given(text=st.text())
def test_pieces_put_together_are_the_text(text):
    assert "".join(split(text)) == text


# ---- merging


def merge_plainly(piece, ranks):
    tokens = [bytes([byte]) for byte in piece]
    while True:
        pairs = list(zip(tokens, tokens[1:], strict=False))
        ranked = [(ranks[pair], i) for i, pair in enumerate(pairs) if pair in ranks]
        if not ranked:
            return tokens
        i = min(ranked)[1]
        tokens = [*tokens[:i], tokens[i] + tokens[i + 1], *tokens[i + 2 :]]


@st.composite
def merges(draw):
    """In any order: a merge may rank before those that lead to it."""
    tokens = [b"a", b"b", b"c"]
    pairs = []
    for _ in range(draw(st.integers(0, 12))):
        pair = draw(st.tuples(st.sampled_from(tokens), st.sampled_from(tokens)))
        pairs.append(pair)  # a pair that comes again has its last rank
        tokens.append(b"".join(pair))
    return draw(st.permutations(pairs))


SMALL_PIECES = st.text("abc", max_size=20)


@given(merges=merges(), piece=SMALL_PIECES)
def test_merging_is_the_plain_loop(merges, piece):
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    assert merge(piece.encode(), ranks) == merge_plainly(piece.encode(), ranks)


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return tmp_path_factory.mktemp("bpe") / "tokenizer.json"


@given(
    merges=merges(),
    piece=SMALL_PIECES,
    words=st.lists(st.text("abc", min_size=2, max_size=5)),  # no merge leads to these
    ignore=st.booleans(),
)
@example(merges=[], piece="abc", words=["abc"], ignore=True)
@example(merges=[], piece="abc", words=["abc"], ignore=False)
def test_any_merges_are_applied_as_the_library_applies_them(
    file, merges, piece, words, ignore
):
    content = json.loads((BUILT_IN / "tokenizer.json").read_text(encoding="utf-8"))
    spelled = [[left.decode(), right.decode()] for left, right in merges]
    tokens = dict.fromkeys([*LETTERS.values(), *map("".join, spelled), *words])
    content["model"] |= {
        "vocab": {token: i for i, token in enumerate(tokens)},
        "merges": spelled,
        "ignore_merges": ignore,
    }
    content |= {"added_tokens": [], "post_processor": None}
    file.write_text(json.dumps(content), encoding="utf-8")
    check(read_bpe(file), tokenizers.Tokenizer.from_file(str(file)), piece)


# ---- encoding


@given(text=TEXTS)
@example("")
@example("".join(HARD))
@example(" ".join(HARD))
@example("\n".join(HARD))
def test_hard_texts_have_the_ids_of_the_library(bpe, library, text):
    check(bpe, library, text)


def test_thousands_of_hard_texts_have_the_ids_of_the_library(bpe, library):
    rng = random.Random(2504)
    for _ in range(5000):
        check(bpe, library, "".join(rng.choices(HARD, k=rng.randrange(40))))


def test_random_words_have_the_ids_of_the_library(bpe, library):
    rng = random.Random(12285)
    for letters in (
        "etaoinshr",
        "abcdefghijklmnopqrstuvwxyz",
        "ёжзийклмнопрст",
        "的一是",
    ):
        for _ in range(200):
            check(bpe, library, "".join(rng.choices(letters, k=rng.randrange(60))))


@pytest.mark.parametrize("letter", ["a", " ", "\n", "=", "1", "é", "漢", "'s", " \n"])
def test_long_runs_have_the_ids_of_the_library(bpe, library, letter):
    for n in (7, 100, 20_000):
        check(bpe, library, letter * n)
        check(bpe, library, letter * n + "x")


def test_a_conversation_has_the_ids_of_the_library(bpe, library):
    messages = [("system", "Be brief."), ("user", " Où ça? \n"), ("assistant", "I'm…")]
    chat = render_chat([{"role": r, "content": c} for r, c in messages])
    check(bpe, library, chat)
    check(bpe, library, f"<|begin_of_text|>{chat}<|end_of_text|>")


def test_stories_have_the_ids_of_the_library(bpe, library):
    text = (ROOT / "notebooks" / "data" / "stories.txt").read_text(encoding="utf-8")
    check(bpe, library, text[:100_000])


@needs_shared
def test_books_have_the_ids_of_the_library(bpe, library):
    books = sorted((DATA / "text").glob("*.txt"))
    assert books
    for book in books:
        text = book.read_text(encoding="utf-8")[:60_000]
        for start in range(0, len(text), 997):  # cut in the middle of words, too
            check(bpe, library, text[start : start + 997])


def test_what_the_library_puts_before_a_text_is_known(bpe, library):
    assert bpe.bos_ids == library.encode("").ids
    assert bpe.bos_ids == [library.token_to_id("<|begin_of_text|>")]


def test_of_special_tokens_the_first_is_taken_and_of_two_there_the_longer():
    ranks = {(b"x", b"y"): 0}
    vocabulary = {b"<": 0, b"x": 1, b"y": 2, b"xy": 3}
    bpe = BPE(vocabulary, ranks, False, {"<x": 4, "<xy": 5, "y<": 6}, {}, [])
    assert bpe.encode("<x<xy<xxy") == [4, 5, 4, 3]
    assert bpe.encode("xy<x") == [1, 6, 1]  # where "y<" begins first
    assert BPE(vocabulary, ranks, False, {}, {}, []).encode("<xy") == [0, 3]


@given(text=TEXTS)
@example("<|eot_id|> and <|begin_of_text|>")
def test_ordinary_text_has_the_ids_of_the_library(bpe, ordinary, text):
    ids = ordinary.encode(text, add_special_tokens=False).ids
    assert bpe.encode_ordinary(text) == ids
    assert not {*ids} & {*bpe.special.values()}
    assert bpe.decode(ids) == text


def test_a_text_with_lone_surrogates_is_refused(bpe):
    with pytest.raises(ValueError, match="surrogates not allowed"):
        bpe.encode("a\udcff")


# ---- decoding


@given(data=st.data())
def test_any_ids_are_decoded_as_by_the_library(bpe, library, data):
    # the first 256 ids are single bytes: most of these are no UTF-8
    known = st.integers(0, library.get_vocab_size() - 1)
    ids = data.draw(st.lists(st.integers(0, 300) | known, max_size=40))
    assert bpe.decode(ids) == library.decode(ids)
    assert "".join(stream(bpe, ids)) == library.decode(ids)


@pytest.mark.parametrize("unknown", [-1, 200_000, 2**40])
def test_an_id_of_no_token_is_refused(bpe, unknown):
    with pytest.raises(ValueError, match=f"ids must be those of tokens, got {unknown}"):
        bpe.decode([5, unknown])


@given(text=TEXTS)
def test_a_text_comes_back_but_for_special_tokens(bpe, text):
    ids = bpe.encode(text)
    visible = re.sub("|".join(map(re.escape, bpe.special)), "", text)
    assert bpe.decode(ids) == "".join(stream(bpe, ids)) == visible


def test_a_character_comes_with_the_last_of_its_bytes(bpe):
    ids = [bpe.vocabulary[bytes([byte])] for byte in "é☕".encode()]
    assert list(stream(bpe, ids)) == ["", "é", "", "", "☕"]
    assert list(stream(bpe, ids[:-1])) == ["", "é", "", "", "\ufffd"]
