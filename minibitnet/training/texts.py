"""Texts: from files to batches of ids.

A file holds documents with ``<|endoftext|>`` between them. Each becomes begin-of-text,
its tokens, end-of-text, and all of them together one long row of ids. A batch is some
pieces of that row, cut out at places drawn by lot; so a piece may begin in the middle
of one document and end in the next, and the model learns where documents end.

Notes
-----
The lot depends on the seed and the number of the step alone. A training that is taken
up again at step n draws what it would have drawn.

Examples
--------
>>> row = np.arange(100)
>>> batch = draw_batch(row, texts=2, context=4, seed=7, step=0)
>>> batch.shape, bool((np.diff(batch) == 1).all())
((2, 5), True)
>>> bool((draw_batch(row, 2, 4, 7, 0) == batch).all())
True
"""

import re
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from minibitnet.training.vocabulary import BEGIN_OF_TEXT, END_OF_TEXT

BETWEEN = "<|endoftext|>"  # as in the files of TinyStories
ANSWER = re.compile(r"(?<=Assistant: )")  # where the prompt of an answer ends


def read_documents(files: Sequence[Path]) -> list[str]:
    """The documents of some files.

    Raises
    ------
    ValueError
        If there is none.
    """
    documents = [
        document.strip()
        for file in files
        for document in file.read_text(encoding="utf-8").split(BETWEEN)
    ]
    documents = [document for document in documents if document]
    if not documents:
        names = ", ".join(map(str, files))
        raise ValueError(f"{names}: expected text, found none")
    return documents


def split_documents(
    documents: Sequence[str], held_out: float
) -> tuple[list[str], list[str]]:
    """A part to learn from and a part to judge by."""
    every = max(2, round(1 / held_out)) if held_out else len(documents) + 1
    judge = list(documents[every - 1 :: every])
    learn = [d for n, d in enumerate(documents, 1) if n % every]
    return learn, judge


def encode_documents(inner: Tokenizer, documents: Sequence[str]) -> NDArray[np.int32]:
    """One row of the ids of all documents.

     -> row (n,)
    """
    begin, end = inner.token_to_id(BEGIN_OF_TEXT), inner.token_to_id(END_OF_TEXT)
    pieces = [ANSWER.split(document) for document in documents]
    encodings = iter(inner.encode_batch(list(chain(*pieces)), add_special_tokens=False))
    rows = [
        [begin, *chain(*(next(encodings).ids for _ in split)), end] for split in pieces
    ]
    return np.fromiter(chain(*rows), np.int32)


def draw_batch(
    row: NDArray[np.integer], texts: int, context: int, seed: int, step: int
) -> NDArray[np.integer]:
    """A batch of pieces of the row, from places drawn by lot.

    row (n,) -> ids (B, T + 1)
    """
    rng = np.random.default_rng([seed, step])
    starts = rng.integers(0, len(row) - context, texts)
    return row[starts[:, None] + np.arange(context + 1)]
