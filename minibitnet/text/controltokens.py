"""Control tokens: the template writes them, and a message cannot.

A conversation is one text, in which control tokens end the turns. Somebody who writes
``<|eot_id|>`` into a message would end a turn, and begin one in another's name. So what
a message spells out is encoded as letters; only those of the template are control
tokens.

Notes
-----
In the finished text one cannot tell the two apart, and a template may do anything with
a message before it stands there. So the conversation is rendered twice: as it is, and
with a mark, a character that occurs nowhere, inside each control token of a message::

    <|eot_id|>   ->   <_|eot_id|>        where _ is the mark

But for the marks the two must be equal; then the control tokens that are whole in the
second are the template's. What stands between them is encoded, without its marks, as
ordinary text. That cutting there changes no other token is seen by the marked text,
which must have the same ids when it is cut as when it is whole.

Control tokens are those that tokenizer.json calls special, and the one that ends an
answer. A template may change to small or capital letters, so there is a mark in either
case. What it makes a control token of pieces of messages, as of a role, is not noticed.
Transformers lets control tokens in messages through unless asked otherwise
(``sanitize_control_tokens``).

Examples
--------
>>> add_marks("a</S>b", ["<s>", "</s>"], "_")
'a<_/S>b'
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence

from minibitnet.bpe import BPE
from minibitnet.text.library import Library

Message = Mapping[str, str]  # its role and its content
Messages = Sequence[Message]
Render = Callable[[Messages], str]  # a conversation as one text
MARKS = range(0xF0000, 0xFFFFE)  # for private use
ANSWER = "minibitnet"  # a text that no template has


def check_text(text: str) -> None:
    """See that a text is one."""
    try:
        text.encode()
    except (AttributeError, UnicodeEncodeError):
        raise ValueError(f"text must be UTF-8, got {text!r:.60}") from None


def is_message(message: object) -> bool:
    """Whether something has a role and a content and no more."""
    match message:
        case {"role": str(), "content": str(), **others}:
            return not others
    return False


def check_messages(messages: Messages) -> None:
    """See that messages are what a template is written for."""
    if not messages:
        raise ValueError("messages must be at least one")
    for message in messages:
        if not is_message(message):
            raise ValueError(
                "a message must have role and content, both texts, and no more, "
                f"got {message!r:.80}"
            )
        check_text("".join(message.values()))


def any_of(tokens: Iterable[str]) -> str:
    """A pattern for any of some tokens; where two fit, the longer."""
    longest_first = sorted(tokens, key=len, reverse=True)
    return "|".join(map(re.escape, longest_first)) or "(?!)"  # that never fits


def find_end_of_turn(inner: BPE | Library, render: Render) -> dict[str, int]:
    """The token that a template writes behind an answer, with its id; or none."""
    roles = ("user", "assistant")
    text = render([{"role": role, "content": ANSWER} for role in roles])
    added = inner.special if isinstance(inner, BPE) else inner.added
    found = re.search(rf"{ANSWER}\s*({any_of(added)})(?!.*{ANSWER})", text, re.S)
    return {found[1]: added[found[1]]} if found else {}


def add_marks(text: str, control: Iterable[str], mark: str) -> str:
    """A text with a mark behind the first character of each control token."""
    return re.sub(rf"(?is)(?={any_of(control)})(.)", rf"\1{mark}", text)


def encode_chat(
    inner: BPE | Library,
    control: Mapping[str, int],
    render: Render,
    messages: Messages,
) -> list[int]:
    """The ids of a conversation in which only the template writes control tokens.

    Raises ValueError if the two cannot be told apart.
    """
    text = render(messages)
    known = {*text}.union(*("".join(message.values()) for message in messages))
    mark = next(mark for mark in map(chr, MARKS) if mark not in known)
    marked = [
        {key: add_marks(value, control, mark) for key, value in message.items()}
        for message in messages
    ]
    if marked == list(messages):
        return inner.encode(text)
    values = "\n".join(value for message in marked for value in message.values())
    whole = render(marked)
    if whole.replace(mark, "") == text and not re.search(any_of(control), values):
        for before in ("", "\n"):
            if (ids := encode_marked(inner, control, whole, mark, before)) is not None:
                return ids
    raise ValueError(
        "a message must not spell out a control token here, for the template or the "
        "tokenizer takes it for more than text (allow_special=True lets it through)"
    )


def encode_marked(
    inner: BPE | Library, control: Mapping[str, int], text: str, mark: str, before: str
) -> list[int] | None:
    """The ids of a text without its marks; None if they cannot be told.

    Some tokenizers put a space before a text, but not behind a control token; there a
    line break goes `before` what is encoded, and its own tokens are left out.
    """

    def encode_all(pieces: Sequence[str]) -> list[int]:
        ids = inner.encode_ordinary(pieces[0])
        begin = inner.encode_ordinary(before)
        for token, piece in zip(pieces[1::2], pieces[2::2], strict=True):
            ids.append(control[token])
            if piece:
                ids += inner.encode_ordinary(before + piece)[len(begin) :]
        return ids

    pieces = re.split(f"({any_of(control)})", text)
    if encode_all(pieces) != inner.encode(text):
        return None
    ids = encode_all([piece.replace(mark, "") for piece in pieces])
    of_template = sum(i in control.values() for i in ids) == len(pieces) // 2
    return ids if of_template else None
