"""Exercises of notebook 13, how a conversation becomes a row of numbers."""

import numpy as np
from numpy.typing import NDArray

from minibitnet.course.exercise import Exercise
from minibitnet.stories import BUILT_IN
from minibitnet.tokenizer import Tokenizer, load_tokenizer

rng = np.random.default_rng(13)
Ids = NDArray[np.int64]


def join(ids: Ids, left: int, right: int, new: int) -> Ids:
    """The right answer to `check_join`."""
    out, n = [], 0
    while n < len(ids):
        joined = n + 1 < len(ids) and ids[n] == left and ids[n + 1] == right
        out.append(int(new) if joined else int(ids[n]))
        n += 2 if joined else 1
    return np.array(out)


def join_backwards(ids: Ids, left: int, right: int, new: int) -> Ids:
    """From the last to the first."""
    return join(ids[::-1], right, left, new)[::-1]


def join_once(ids: Ids, left: int, right: int, new: int) -> Ids:
    """Only the first."""
    for n in range(len(ids) - 1):
        if ids[n] == left and ids[n + 1] == right:
            return np.concatenate([ids[:n], [new], ids[n + 2 :]])
    return ids


def join_again(ids: Ids, left: int, right: int, new: int) -> Ids:
    """What was joined joined again."""
    out: list[int] = []
    for token in ids:
        joined = bool(out) and out[-1] == left and token == right
        if joined:
            out.pop()
        out.append(int(new if joined else token))
    return np.array(out)


def join_as_text(ids: Ids, left: int, right: int, new: int) -> Ids:
    """Digits taken for ids."""
    text = " ".join(map(str, ids)).replace(f"{left} {right}", str(new))
    return np.array([int(word) for word in text.split()])


def join_either_way(ids: Ids, left: int, right: int, new: int) -> Ids:
    """The pair in the other order."""
    return join(ids, right, left, new)


def join_to_nothing(ids: Ids, left: int, right: int, new: int) -> Ids:
    """The pair taken out."""
    joined = join(ids, left, right, -1)
    return joined[joined != -1]


def join_every_left(ids: Ids, left: int, right: int, new: int) -> Ids:
    """Whatever is behind it."""
    return np.where(ids == left, new, ids)


def join_but_last(ids: Ids, left: int, right: int, new: int) -> Ids:
    """The last pair never looked at."""
    return np.append(join(ids[:-1], left, right, new), ids[-1:])


def join_and_keep(ids: Ids, left: int, right: int, new: int) -> Ids:
    """The right one left standing."""
    follows = np.append(ids[1:] == right, False)
    return np.where((ids == left) & follows, new, ids)


def join_twice(ids: Ids, left: int, right: int, new: int) -> Ids:
    """A token used for two pairs."""
    starts = (ids == left) & np.append(ids[1:] == right, False)
    ends = np.append(False, starts[:-1])
    return np.where(starts, new, ids)[starts | ~ends]


def _built_in() -> Tokenizer:
    tokenizer = load_tokenizer(BUILT_IN)
    assert tokenizer is not None
    return tokenizer


TOKENIZER = _built_in()


def prompt(content: str) -> list[int]:
    """The right answer to `check_prompt`."""
    return TOKENIZER.chat([{"role": "user", "content": content}])


def prompt_in_pieces(content: str) -> list[int]:
    """Each piece encoded by itself."""
    pieces = ("User: ", content.strip(), "<|eot_id|>", "Assistant: ")
    return [*TOKENIZER.encode(""), *(i for p in pieces for i in _ids(p))]


def _blanks_off(content: str) -> str:
    return content.strip(" ")


def _breaks_off(content: str) -> str:
    return content.strip("\n")


def _ids(piece: str) -> list[int]:
    return TOKENIZER.encode(piece, bos=False)


def prompt_with(before: str, after: str, content: str) -> list[int]:
    """A prompt with other words around the content."""
    return TOKENIZER.encode(f"{before}{content.strip()}{after}")


check_count = Exercise(
    right=4,
    mistakes={
        "·the is made of ·t and he: rank 3 joins them again.": 5,
        "The second word has no t: · he n are three tokens, and ·the is one more.": 2,
        "That is every letter. Merge those pairs that are in the table.": 8,
        "No token reaches across the cut, and the table has no · he.": 3,
    },
)
check_join = Exercise(
    right=join,
    mistakes={
        "You go from the last to the first. Of three equal ones the first two are "
        "joined.": join_backwards,
        "You join the first pair only. All of them are joined.": join_once,
        "You join what was just joined with the next. A token is used once."
        "": join_again,
        "You replace text: in 11 2 there is no 1 2. Compare ids, not digits."
        "": join_as_text,
        "You join right with left behind it. It is left with right behind it."
        "": join_either_way,
        "You took the pair out. Put new in its place.": join_to_nothing,
        "You never look at the last pair. It ends the array.": join_but_last,
        "You replace every left. Only one with right behind it is joined."
        "": join_every_left,
        "The right one of the pair is still there. Two tokens become one."
        "": join_and_keep,
        "A token is used for two pairs. What was joined is gone.": join_twice,
    },
    cases=[
        (np.array([5, 1, 2, 7, 1, 2, 2, 1]), 1, 2, 9),
        (np.array([3, 3, 3, 4]), 3, 3, 8),
        (np.array([4]), 3, 3, 8),
        (np.array([3, 4, 4]), 3, 4, 3),
        (np.array([11, 2, 1, 23, 31, 2, 1, 2]), 1, 2, 300),
        (rng.integers(0, 3, 30), 0, 2, 128_000),
        (rng.integers(0, 3, 30), 1, 1, 7),
    ],
)
check_prompt = Exercise(
    right=prompt,
    mistakes={
        "The space after the last colon is missing.": lambda content: prompt_with(
            "User: ", "<|eot_id|>Assistant:", content
        ),
        "There are line breaks. The template has none.": lambda content: prompt_with(
            "User: ", "<|eot_id|>\nAssistant: ", content
        ),
        "The roles begin with capitals.": lambda content: prompt_with(
            "user: ", "<|eot_id|>assistant: ", content
        ),
        "The message does not end: <|eot_id|> is missing.": lambda content: prompt_with(
            "User: ", "Assistant: ", content
        ),
        "The content is not stripped.": tuple(
            lambda content, strip=strip: TOKENIZER.encode(
                f"User: {strip(content)}<|eot_id|>Assistant: "
            )
            for strip in (str, str.lstrip, str.rstrip, _blanks_off, _breaks_off)
        ),
        "You encoded the pieces apart. Joined first, they have other ids."
        "": prompt_in_pieces,
        "There are two begin-of-texts. encode puts one there.": lambda content: (
            TOKENIZER.encode("") + prompt(content)
        ),
        "There is no begin-of-text.": lambda content: prompt(content)[1:],
        "Nothing says that it is the assistant's turn.": lambda content: prompt_with(
            "User: ", "<|eot_id|>", content
        ),
    },
    cases=[("  Hi ",), ("Tell me a story about a dog.\n",), ("\tA  b,\n\nc ",)],
)
