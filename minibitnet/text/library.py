"""The tokenizers library: tokenizer.json of any kind, behind the methods of `BPE`.

It is exact and fast and knows every kind of tokenizer; where it is installed, it is
used. What is done here is to ask it for no more than is meant, and to turn what it does
when it fails (a plain Exception; a panic, which no ``except Exception`` sees) into one
line.

Notes
-----
What a tokenizer puts before a text is told by a text of its own: what the library marks
as put there, up to the first token of the text. What it would put behind is left out.
"""

import json
import re
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar

from minibitnet.files.jsonfile import CheckpointError, printable, read_text

Result = TypeVar("Result")
MOST_BLANKS = 4_000_000  # in a row; between five and ten million the library panics


def ask(function: Callable[..., Result], *args: Any, **options: Any) -> Result:
    """Call the library; a ValueError if it fails."""
    try:
        return function(*args, **options)
    except BaseException as error:
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise ValueError(printable(f"the tokenizers library: {error}")) from None
        raise


def refuse_blanks(text: str) -> None:
    """Refuse what the library's regular expressions give up on, and panic."""
    if len(text) > MOST_BLANKS:
        for blanks in re.finditer(r"\s+", text):
            if (found := blanks.end() - blanks.start()) > MOST_BLANKS:
                raise ValueError(
                    f"text must have at most {MOST_BLANKS} spaces in a row, got {found}"
                )


class Library:
    """A tokenizer of the tokenizers library.

    Parameters
    ----------
    library : tokenizers.Tokenizer
        Neither cuts nor pads.
    """

    def __init__(self, library: Any) -> None:
        self.library = library
        added = library.get_added_tokens_decoder().items()
        self.added = {token.content: i for i, token in added}
        self.special = {token.content: i for i, token in added if token.special}
        spelled = [f"<0x{byte:02{case}}>" for byte in range(256) for case in "xX"]
        self.byte_ids = {library.token_to_id(token) for token in spelled} - {None}
        self.bos_ids = self.find_bos_ids()

    def find_bos_ids(self) -> list[int]:
        """What the tokenizer puts before a text; many put nothing."""
        vocabulary = (token for token in self.library.get_vocab(False))
        for text in chain(["a"], vocabulary):
            with suppress(ValueError):  # it knows no such text
                encoding = ask(self.library.encode, text)
                of_text = encoding.special_tokens_mask.index(0)
                return list(encoding.ids[:of_text])
        return []

    @cached_property
    def ordinary(self) -> Any:
        """The same, but a special token spelled out is text as any."""
        import tokenizers

        library = tokenizers.Tokenizer.from_str(self.library.to_str())
        library.encode_special_tokens = True
        return library

    def encode(self, text: str) -> list[int]:
        """The ids of a text, with no begin-of-text put before it."""
        refuse_blanks(text)
        return list(ask(self.library.encode, text, add_special_tokens=False).ids)

    def encode_ordinary(self, text: str) -> list[int]:
        """The ids of a text in which a special token spelled out is text as any."""
        refuse_blanks(text)
        return list(ask(self.ordinary.encode, text, add_special_tokens=False).ids)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, special tokens left out.

        Raises ValueError if an id is that of no token.
        """
        ids = list(ids)
        for i in ids:
            if not 0 <= i < 2**32 or self.library.id_to_token(i) is None:
                raise ValueError(f"ids must be those of tokens, got {i}")
        return str(ask(self.library.decode, ids))


def refuse_moved(library: Any, text: str) -> None:
    """Refuse added tokens that the library gives other ids than the file has.

    It counts on from the size of the vocabulary, whatever ids are missing in it.
    """
    for token in json.loads(text).get("added_tokens", []):
        found = library.token_to_id(token["content"])
        if found != token["id"]:
            said = f"{token['content']!r} with the id {token['id']}"
            raise ValueError(printable(f"{said}, to which the library gives {found}"))


def read_with_library(file: Path) -> Library | None:
    """What tokenizer.json describes; None where the library is not installed.

    Raises CheckpointError if it is damaged.
    """
    try:
        import tokenizers
    except ImportError:
        return None
    text = read_text(file)
    try:
        library = ask(tokenizers.Tokenizer.from_str, text)
        refuse_moved(library, text)
        library.no_truncation()
        library.no_padding()
        return ask(Library, library)
    except ValueError as error:
        raise CheckpointError(f"{file}: expected a tokenizer, found {error}") from None
