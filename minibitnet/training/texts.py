"""Texts: from files to batches of ids.

A file holds documents with ``<|endoftext|>`` between them. Each becomes begin-of-text,
its tokens, end-of-text, and all of them together one long row of ids. A batch is some
pieces of that row, cut out at positions drawn at random; so a piece may begin in the
middle of one document and end in the next, and the model learns where documents end.

Notes
-----
What is drawn depends on the seed and the number of the step alone. A training that is
resumed at step n draws what it would have drawn.

Examples
--------
>>> row = np.arange(100)
>>> batch = draw_batch(row, batch_size=2, context=4, seed=7, step=0)
>>> batch.shape, bool((np.diff(batch) == 1).all())
((2, 5), True)
>>> bool((draw_batch(row, 2, 4, 7, 0) == batch).all())
True
>>> split_documents(["a", "b", "c", "d", "e"], held_out=0.5)
(['a', 'c', 'e'], ['b', 'd'])
"""

import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from minibitnet.arrays import I32
from minibitnet.files.jsonfile import regular_file
from minibitnet.tokenizer import BEGIN_OF_TEXT, END_OF_TEXT
from minibitnet.training.backward import Ids
from minibitnet.training.schedule import require

if TYPE_CHECKING:
    from tokenizers import Tokenizer

BETWEEN = "<|endoftext|>"  # as in the files of TinyStories
# The tokenizers library takes minutes for more spaces in a row, and gives up in the end
LONGEST_SPACE = 100_000
ANSWER = re.compile(r"(?<=Assistant: )")  # where the prompt of an answer ends


def read_documents(files: Sequence[Path]) -> list[str]:
    """The documents of some files, stripped; a ValueError if one of them has none."""
    documents = []
    for file in files:
        stripped = [document.strip() for document in read_text(file).split(BETWEEN)]
        if not any(stripped):
            raise ValueError(f"{file}: expected text, found none")
        documents += [document for document in stripped if document]
    return documents


def read_text(file: Path) -> str:
    """The text of a file in UTF-8, without the mark that some programs put before it.

    A ValueError if it is not text, or something else than a file, such as a pipe.
    """
    regular_file(file)
    content = file.read_bytes()
    try:
        text = content.decode().removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        byte, line = content[error.start], content.count(b"\n", 0, error.start) + 1
        raise ValueError(
            f"{file}: expected text in UTF-8, "
            f"found byte {byte:#04x} at position {error.start}, line {line}"
        ) from None
    if space := re.search(rf"(?<!\s)\s{{{LONGEST_SPACE + 1}}}", text):
        raise ValueError(
            f"{file}: expected at most {LONGEST_SPACE} spaces or line breaks in a row, "
            f"found more at position {space.start()}"
        )
    return text.replace("\r\n", "\n").replace("\r", "\n")


def split_documents(
    documents: Sequence[str], held_out: float
) -> tuple[list[str], list[str]]:
    """The documents to learn from, and those held out: every n-th, about that share.

    At least one is learned from, and one held out if there are two, unless the share is
    smaller than one of all. A ValueError if it is below 0 or not below 1.
    """
    require(0 <= held_out < 1, "held_out", "from 0 to below 1", held_out)
    none = len(documents) + 1
    n = max(2, round(min(1 / held_out, none))) if held_out else none
    learn = [document for i, document in enumerate(documents, 1) if i % n]
    return learn, list(documents[n - 1 :: n])


def encode_documents(inner: "Tokenizer", documents: Sequence[str]) -> I32:
    """The ids of all documents, each between begin-of-text and end-of-text, as a row.

    In a conversation an answer is encoded by itself, as it is when it is written.
    """
    begin, end = inner.token_to_id(BEGIN_OF_TEXT), inner.token_to_id(END_OF_TEXT)
    pieces = [ANSWER.split(document) for document in documents]
    # All at once: the library has threads for it.
    encodings = iter(inner.encode_batch(list(chain(*pieces)), add_special_tokens=False))
    rows = [
        [begin, *chain(*(next(encodings).ids for _ in split)), end] for split in pieces
    ]
    return np.fromiter(chain(*rows), np.int32)


def draw_batch(row: Ids, batch_size: int, context: int, seed: int, step: int) -> Ids:
    """Pieces of the row from positions drawn at random: T = context tokens to predict.

    row (N,) -> ids (B, T + 1)
    """
    rng = np.random.default_rng([seed, step])
    starts = rng.integers(0, len(row) - context, batch_size)
    return row[starts[:, None] + np.arange(context + 1)]
