r"""Streaming: the text of tokens as they come, the same as of all of them at once.

A token is not a piece of text. A letter may be spread over several tokens; the first
space of a text is dropped by some tokenizers, but not the first of a continuation; in
others a row of bytes is text only if all of it is. So what a token adds depends on
those around it. Here the last few tokens are decoded again with each new one, and what
is sure of their text is given out, once.

Notes
-----
Put after the text of the prompt, the pieces are the text of prompt and tokens::

    decode(after) + "".join(stream(tokens, after)) == decode(after + tokens)

unless the prompt ends inside a letter. Not sure, and so kept back, is

- U+FFFD at the end: it may stand for the first bytes of a letter;
- the bytes of a tokenizer with byte fallback (Llama 2's ``<0xE6>``), as long as more
  may come: of a row of them that is not UTF-8 each becomes U+FFFD.

Of the tokens before, eight are kept: more than a letter has bytes, and enough to show
that the text does not begin here. The cost of a token does not depend on how many there
were.

Examples
--------
Two bytes of é, then a letter; cut off after the first byte.

>>> from minibitnet.bpe import BPE
>>> spelled = {0: b"\xc3", 1: b"\xa9", 2: b"t"}
>>> inner = BPE({}, {}, False, special={}, spelled=spelled, bos_ids=[])
>>> list(stream(inner, [2, 0, 1, 2]))
['t', '', 'é', 't']
>>> list(stream(inner, [2, 0]))
['t', '', '\ufffd']
"""

from collections.abc import (
    Collection,
    Generator,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from os.path import commonprefix
from typing import Protocol

KEPT = 8  # tokens of those before; a letter has at most 4 bytes


class Decoder(Protocol):
    """What is needed of a tokenizer."""

    @property
    def special(self) -> Mapping[str, int]:
        """The id of each token that stands for no text."""

    @property
    def byte_ids(self) -> Collection[int]:
        """The ids of bytes of which a whole row is decoded at once."""

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, special tokens left out."""


class Speaker(Protocol):
    """A tokenizer."""

    @property
    def inner(self) -> Decoder:
        """What knows the tokens."""


class Text:
    """A text that grows token by token.

    Parameters
    ----------
    inner : Decoder
        What knows the tokens.
    after : sequence of int
        The text that is continued.
    """

    def __init__(self, inner: Decoder, after: Sequence[int] = ()) -> None:
        self.inner = inner
        self.hidden = {*inner.special.values()}
        self.last = [token for token in after if token not in self.hidden]
        self.shown = inner.decode(self.last)  # of the text of these, what is out
        self.begun = False
        self.forget()

    def add(self, token: int) -> str:
        """Take a token; what is now sure of the text and was not before."""
        if token in self.hidden:
            return ""
        self.last.append(token)
        if token in self.inner.byte_ids:
            return ""
        text = self.inner.decode(self.last)
        piece = self.new_in(text.removesuffix("\ufffd"))
        if piece:
            self.shown, self.begun = text.removesuffix("\ufffd"), True
        self.forget()
        return piece

    def rest(self) -> str:
        """What would come yet if this were the end."""
        return self.new_in(self.inner.decode(self.last))

    def new_in(self, text: str) -> str:
        """What a text has beyond what is out."""
        if self.shown.startswith(text):
            return ""
        if self.begun and not text.startswith(self.shown):
            raise ValueError(
                "this tokenizer's decoder changes text that came before, so the text "
                "cannot come in pieces: decode all tokens at once"
            )
        return text[len(commonprefix([self.shown, text])) :]

    def forget(self) -> None:
        """Let go of all tokens but the last, if these show that there is text."""
        start = len(self.last) - KEPT
        while start > 0 and self.last[start] in self.inner.byte_ids:
            start -= 1  # a row of bytes is decoded whole
        if start >= KEPT and (text := self.inner.decode(self.last[start:])):
            pending = self.inner.decode(self.last) != self.shown
            self.last = self.last[start:]
            self.shown = text.removesuffix("\ufffd") if pending else text


def stream(
    inner: Decoder, tokens: Iterable[int], after: Sequence[int] = ()
) -> Iterator[str]:
    """The text of tokens, a piece for each, and what is left at the end."""
    text = Text(inner, after)
    for token in tokens:
        yield text.add(token)
    if rest := text.rest():
        yield rest


class Tokens(Iterator[int]):
    """Tokens as they come, and then why they ended.

    Parameters
    ----------
    tokens : generator of int
        Its return value is the reason.

    Attributes
    ----------
    ended : str or None
        None as long as more may come.

    Examples
    --------
    >>> def write():
    ...     yield 7
    ...     return "end of text"
    >>> tokens = Tokens(write())
    >>> tokens.ended, list(tokens), tokens.ended
    (None, [7], 'end of text')
    """

    def __init__(self, tokens: Generator[int, None, str]) -> None:
        self.tokens = tokens
        self.ended: str | None = None

    def __next__(self) -> int:
        """The next token."""
        try:
            return next(self.tokens)
        except StopIteration as end:
            self.ended = self.ended or end.value
            raise


def end_at(
    tokens: Generator[int, None, str],
    stop: Sequence[str],
    tokenizer: Speaker | None,
    after: Sequence[int],
) -> Tokens:
    """Tokens up to where one of some texts is written.

    Raises
    ------
    ValueError
        If they are no such texts, or there are some and no tokenizer.
    """
    if isinstance(stop, str) or not all(isinstance(s, str) and s for s in stop):
        raise ValueError(f"stop must be a list of texts, none empty, got {stop!r:.80}")
    if len(stop) == 0:
        return Tokens(tokens)
    if tokenizer is None:
        raise ValueError("stop must be empty: this model was loaded without tokenizer")
    return Tokens(until(tokens, stop, tokenizer.inner, after))


def until(
    tokens: Generator[int, None, str],
    stop: Sequence[str],
    inner: Decoder,
    after: Sequence[int],
) -> Generator[int, None, str]:
    """Pass tokens on, up to the one with which one of some texts is written."""
    text, written = Text(inner, after), ""
    longest = max(map(len, stop))
    every = Tokens(tokens)
    for token in every:
        yield token
        written += text.add(token)
        if any(end in written + text.rest() for end in stop):
            return "stop"
        written = written[-longest:]
    return every.ended or ""
