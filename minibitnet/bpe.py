r"""Byte-pair encoding: a text as tokens, merged from bytes in the order of training.

A vocabulary of words is never complete, and bytes alone make a text long. Byte-pair
encoding (BPE) lies between. Training began with the 256 bytes, made the most frequent
pair of neighbours a token of its own, and did so again and again; the rank of a merge
says when. Encoding replays the merges in that order: a common word ends as one token, a
rare one as several, and there is no text without tokens.

Notes
-----
For a text::

    cut out the special tokens that it spells; where two fit, the longer
    split what is between into pieces by `SPLIT`: a word with the space before it, ...
    a piece in the vocabulary is one token             (only if `ignore_merges`)
    any other begins as its bytes in UTF-8; as long as two neighbours have a rank:
        merge the two of lowest rank, of equals the leftmost

No merge crosses pieces. The heap in `merge` saves a look at every pair each time.
Letters and numbers are those of Python's version of Unicode; any later is a sign.

References
----------
Sennrich et al., Neural Machine Translation of Rare Words with Subword Units, 2015,
arXiv 1508.07909; Radford et al., Language Models are Unsupervised Multitask Learners,
2019, section 2.2 (bytes); tokenizer.json of microsoft/bitnet-b1.58-2B-4T.

Examples
--------
First i-n was merged, then t-h, then th-i. So "thin" becomes t-h-in and then th-in. From
left to right it would have been thi-n, and so by the longest token that fits.

>>> merge(b"thin", {(b"i", b"n"): 0, (b"t", b"h"): 1, (b"th", b"i"): 2})
[b'th', b'in']
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from heapq import heappop, heappush

# The pattern of Llama 3, as tokenizer.json has it: \p{L} is a letter, \p{N} a number.
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"  # the end of a contraction
    r"|[^\r\n\p{L}\p{N}]?\p{L}+"  # a word, with one space or sign before it
    r"|\p{N}{1,3}"  # a number, three digits at a time
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*"  # signs, with a space before and line ends after
    r"|\s*[\r\n]+"  # line ends, with the white space before
    r"|\s+(?!\S)"  # white space, its last left to what follows
    r"|\s+"
)
# Python has no \p{L} and \p{N}. After `stand_in` there are only ASCII ones to find.
PIECE = re.compile(
    SPLIT.replace(r"\p{L}\p{N}", "a-zA-Z0-9")  # these stand in brackets
    .replace(r"\p{L}", "[a-zA-Z]")
    .replace(r"\p{N}", "[0-9]"),
    re.ASCII,  # else \s would take \x1c to \x1f, which are not white space in Unicode
)


@cache
def stand_in(character: str) -> str:
    """An ASCII character that `SPLIT` treats like this one."""
    if character.isascii():
        return character
    if character == "ſ":  # the long s, an s where case does not matter: 'ſ is 's
        return "s"
    if character.isspace():
        return "\t"
    return {"L": "a", "N": "0"}.get(unicodedata.category(character)[0], "!")


def split(text: str) -> list[str]:
    """The pieces of a text, which are encoded one by one."""
    kinds = "".join(map(stand_in, text))
    return [text[found.start() : found.end()] for found in PIECE.finditer(kinds)]


def merge(piece: bytes, ranks: Mapping[tuple[bytes, bytes], int]) -> list[bytes]:
    """The tokens of a piece: its bytes, merged two by two, lowest rank first."""
    tokens = [bytes([byte]) for byte in piece]  # each stays where its first byte is
    starts = list(range(len(piece)))  # of the token that ends at a position
    pairs: list[tuple[int, int, int]] = []  # a heap: the lowest rank, then the leftmost

    def note_pair(left: int) -> None:
        right = left + len(tokens[left])
        if right < len(piece) and (tokens[left], tokens[right]) in ranks:
            heappush(pairs, (ranks[tokens[left], tokens[right]], left, right))

    for left in range(len(piece)):
        note_pair(left)
    while pairs:
        rank, left, right = heappop(pairs)
        if ranks.get((tokens[left], tokens[right])) != rank:
            continue  # one of them has been merged with its other neighbour
        tokens[left], tokens[right] = tokens[left] + tokens[right], b""
        starts[left + len(tokens[left]) - 1] = left
        note_pair(left)
        note_pair(starts[left - 1])  # at 0 this is the last token, which has no pair
    return list(filter(None, tokens))


@dataclass(frozen=True)
class BPE:
    """A byte-level tokenizer."""

    vocabulary: Mapping[bytes, int]  # the id of each token
    ranks: Mapping[tuple[bytes, bytes], int]
    ignore_merges: bool
    special: Mapping[str, int]  # the id of each token that stands for no text
    spelled: Mapping[int, bytes]  # the bytes that each other id stands for
    bos_ids: list[int]  # what to put before a text: begin-of-text, or nothing
    byte_ids: tuple[int, ...] = ()  # no bytes of another kind than all (`streaming`)

    def encode(self, text: str) -> list[int]:
        """The ids of a text, with no begin-of-text put before it.

        Raises UnicodeEncodeError, a ValueError, if the text has lone surrogates.
        """
        longest_first = sorted(self.special, key=len, reverse=True)
        special = "|".join(map(re.escape, longest_first)) or "(?!)"  # that never fits
        ids: list[int] = []
        for part in re.split(f"({special})", text):
            whole = self.special.get(part)
            ids += self.encode_ordinary(part) if whole is None else [whole]
        return ids

    def encode_ordinary(self, text: str) -> list[int]:
        """The ids of a text in which a special token spelled out is text as any."""
        return [i for piece in split(text) for i in self.encode_piece(piece.encode())]

    def encode_piece(self, piece: bytes) -> list[int]:
        """The ids of a piece."""
        if self.ignore_merges and piece in self.vocabulary:
            return [self.vocabulary[piece]]
        return [self.vocabulary[token] for token in merge(piece, self.ranks)]

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids: no special tokens, and U+FFFD for bytes that are no text.

        Raises ValueError if an id is that of no token.
        """
        hidden = dict.fromkeys(self.special.values(), b"")
        try:
            spelled = [hidden[i] if i in hidden else self.spelled[i] for i in ids]
        except KeyError as error:
            raise ValueError(f"ids must be those of tokens, got {error}") from None
        return b"".join(spelled).decode(errors="replace")
