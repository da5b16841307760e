import json
import os
import sys

import pytest
import tokenizers
from test_tokenizer import directory, tokenizer  # noqa: F401
from tokenizers import models, processors

from minibitnet import CheckpointError
from minibitnet.stories import BUILT_IN
from minibitnet.text import library
from minibitnet.text.library import Library, ask, read_with_library

BUILT_IN_FILE = BUILT_IN / "tokenizer.json"


class PanicException(BaseException):
    """What no `except Exception` sees."""


def of_words(post_processor, words=("a",), unknown=None):
    inner = tokenizers.Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(words)}, unknown or "")
    )
    inner.add_special_tokens(["<s>", "</s>"])
    if post_processor:
        ids = [(token, inner.token_to_id(token)) for token in ("<s>", "</s>")]
        inner.post_processor = processors.TemplateProcessing(
            single=post_processor, special_tokens=ids
        )
    return inner


@pytest.mark.parametrize("words", [("a",), ("<s>", "world"), ("</s>", "a", "x y")])
@pytest.mark.parametrize(
    ("post_processor", "before"),
    [
        (None, []),
        ("$A", []),
        ("$A </s>", []),
        ("<s> $A", ["<s>"]),
        ("<s> $A </s> </s>", ["<s>"]),
        ("</s> <s> $A", ["</s>", "<s>"]),
    ],
)
def test_begin_of_text_is_what_comes_before_a_text(words, post_processor, before):
    inner = of_words(post_processor, words)
    found = Library(inner).bos_ids
    assert [inner.id_to_token(i) for i in found] == before


def test_where_no_text_has_tokens_nothing_comes_before():
    assert Library(of_words("<s> $A", words=())).bos_ids == []


def test_another_processor_that_puts_something_at_both_ends():
    inner = of_words(None)
    cls, sep = ("<s>", inner.token_to_id("<s>")), ("</s>", inner.token_to_id("</s>"))
    inner.post_processor = processors.RobertaProcessing(sep, cls)
    assert Library(inner).bos_ids == [cls[1]]


@pytest.mark.parametrize("unknown", [-1, 7, 2**31, 2**32, 10**30])
def test_an_id_of_no_token_is_refused(unknown):
    inner = Library(of_words(None))
    with pytest.raises(ValueError, match=f"ids must be those of tokens, got {unknown}"):
        inner.decode([0, unknown])


@pytest.mark.parametrize("blank", [" ", "\t", "\u3000"])
def test_blanks_that_the_library_panics_at_are_refused(blank, monkeypatch):
    monkeypatch.setattr(library, "MOST_BLANKS", 50)
    inner = read_with_library(BUILT_IN_FILE)
    many = f"a{51 * blank}b"
    for encode in (inner.encode, inner.encode_ordinary):
        with pytest.raises(ValueError, match="at most 50 spaces in a row, got 51"):
            encode(many)
        assert encode(f"a{50 * blank}b{50 * blank}")
        assert encode("a" * 99)


def test_what_the_library_raises_is_one_line():
    def fail(error):
        raise error

    for error in (Exception("a\nb\x1b[m"), PanicException("a\nb\x1b[m")):
        with pytest.raises(ValueError, match=r"^the tokenizers library: a\\nb\\x1b\[m"):
            ask(fail, error)
    for error in (KeyboardInterrupt, SystemExit):
        with pytest.raises(error):
            ask(fail, error())
    assert ask(int, "10", base=2) == 2


def test_a_panic_of_the_library_is_one_line(tmp_path):
    content = json.loads(BUILT_IN_FILE.read_text(encoding="utf-8"))
    strip = {"type": "Strip", "content": "a", "start": 0, "stop": 2}
    content["decoder"] = {"type": "Sequence", "decoders": [{"type": "Fuse"}, strip]}
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    inner = read_with_library(file)
    with pytest.raises(ValueError, match="the tokenizers library: index out of bounds"):
        inner.decode(inner.encode("a"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"model": 7}', "expected a tokenizer, found the tokenizers library: "),
        ("", "expected a tokenizer, found"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:0", "Git LFS pointer"),
        (b"\xff{}", "expected text, found"),
        ('{"model": {"type": "\x1b[2J\\u001b[2J\n"}}', "expected a tokenizer, found"),
    ],
)
def test_a_damaged_file_is_refused_in_a_line(tmp_path, content, message):
    file = tmp_path / "tokenizer.json"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_with_library(file)
    assert str(caught.value).isprintable()


@pytest.mark.skipif(sys.platform == "win32", reason="no such files")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "large"])
def test_what_is_no_file_is_not_read(tmp_path, kind):
    file = tmp_path / "tokenizer.json"
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    elif kind == "folder":
        file.mkdir()
    else:
        with file.open("wb") as stream:
            stream.truncate(100_000_000)
    with pytest.raises(CheckpointError, match="tokenizer.json: expected (a file|at)"):
        read_with_library(file)


def test_ids_that_the_library_would_change_are_refused(tmp_path):
    """It counts added tokens on from the size of the vocabulary."""
    content = json.loads((BUILT_IN / "tokenizer.json").read_text(encoding="utf-8"))
    last = max(content["model"]["vocab"], key=content["model"]["vocab"].get)
    del content["model"]["vocab"][last]
    content["model"]["merges"] = [
        pair for pair in content["model"]["merges"] if "".join(pair) != last
    ]
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(CheckpointError, match="id 4093, to which the library gives"):
        read_with_library(file)


def test_there_need_be_no_added_tokens(tmp_path):
    content = json.loads((BUILT_IN / "tokenizer.json").read_text(encoding="utf-8"))
    content |= {"added_tokens": [], "post_processor": None}
    file = tmp_path / "tokenizer.json"
    for page in (content, {k: v for k, v in content.items() if k != "added_tokens"}):
        file.write_text(json.dumps(page), encoding="utf-8")
        assert read_with_library(file).added == {}
