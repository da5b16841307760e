"""The tokenizer: text to ids and back, and a conversation as one text.

How a text becomes ids is told in `minibitnet.bpe`. The tokenizers library does the same
by the checkpoint's own tokenizer.json, faster and for more kinds, and is used where it
is installed. What this module adds are the two things that ports get wrong around it:
exactly one begin-of-text token in front, and a chat template that is exact to the last
space.

Notes
-----
A conversation is written message after message, with no line breaks::

    Role: content<|eot_id|>        the role capitalized, the content stripped
    Assistant:␣                    at the end, where the model is to continue

The space after the last colon belongs to the prompt and is a token of its own (220):
the model was trained to continue from there. The whole is encoded as one text, so
elsewhere the space joins the word behind it: "User: hi" ends in the token " hi". The
template itself has no begin-of-text; `encode` puts one in front, and no second
where the text already has it.

References
----------
``chat_template`` in tokenizer_config.json of microsoft/bitnet-b1.58-2B-4T; Ma et al.,
BitNet b1.58 2B4T Technical Report, 2025, arXiv 2504.12285, section 3.2.

Examples
--------
>>> render_chat([
...     {"role": "system", "content": "Be brief."},
...     {"role": "user", "content": "  What is the capital of France? "},
... ])
'System: Be brief.<|eot_id|>User: What is the capital of France?<|eot_id|>Assistant: '
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from minibitnet.bpe import BPE
from minibitnet.files.jsonfile import CheckpointError, read_json
from minibitnet.tokenizerfile import read_bpe

# The template that `render_chat` writes, as 2B4T's tokenizer_config.json has it.
CHAT_TEMPLATE = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = message['role'] | capitalize + ': '+ message['content'] | trim"
    " + '<|eot_id|>' %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)
BEGIN_OF_TEXT, END_OF_TEXT = "<|begin_of_text|>", "<|end_of_text|>"
END_OF_TURN = "<|eot_id|>"


class Library:
    """The tokenizers library, behind the methods of `BPE`."""

    def __init__(self, library: Any) -> None:
        self.library = library
        # What the tokenizer itself puts before a text; some have no begin-of-text.
        self.bos_ids: list[int] = library.encode("").ids[:1]

    def encode(self, text: str) -> list[int]:
        """The ids of a text, with no begin-of-text put before it."""
        return list(self.library.encode(text, add_special_tokens=False).ids)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, special tokens left out."""
        return str(self.library.decode(list(ids)))

    def stream(self, ids: Iterable[int]) -> Iterator[str]:
        """The text of ids as they come."""
        from tokenizers.decoders import DecodeStream

        decoder = DecodeStream(skip_special_tokens=True)
        for token in ids:
            yield decoder.step(self.library, token) or ""


class Tokenizer:
    """The tokenizer of a checkpoint.

    Parameters
    ----------
    inner : BPE or Library
        What tokenizer.json describes.
    chat_template : str or None
        What tokenizer_config.json says of conversations.
    """

    def __init__(self, inner: BPE | Library, chat_template: str | None) -> None:
        self.inner = inner
        self.bos_ids = inner.bos_ids
        self.chat_template = chat_template

    def encode(self, text: str, *, bos: bool = True) -> list[int]:
        """The ids of a text, begin-of-text first.

        Parameters
        ----------
        text : str
            Any text. Special tokens spelled out in it, as ``<|eot_id|>``, are taken as
            such.
        bos : bool
            False puts no begin-of-text before it, as for a text that continues another.

        Returns
        -------
        ids : list of int
            With exactly one begin-of-text, or as the text has it.

        Raises
        ------
        ValueError
            If the text holds bytes that are not UTF-8.
        """
        try:
            ids = self.inner.encode(text)
        except (TypeError, UnicodeEncodeError):
            raise ValueError(f"text must be UTF-8, got {text!r:.60}") from None
        if not bos or ids[:1] == self.bos_ids:
            return ids
        return self.bos_ids + ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, special tokens left out."""
        return self.inner.decode(map(int, ids))

    def stream(self, tokens: Iterable[int]) -> Iterator[str]:
        """The text of tokens as they come, as `minibitnet.generate` yields them.

        A letter may be spread over several tokens; it comes with the last of them.
        """
        return self.inner.stream(map(int, tokens))

    def chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The ids of a conversation that the model is to continue.

        Parameters
        ----------
        messages : list of dict
            Each with a ``role`` (as ``"system"``, ``"user"``, ``"assistant"``) and its
            ``content``.

        Returns
        -------
        ids : list of int
            One begin-of-text, the messages, and the start of an answer.

        Raises
        ------
        ValueError
            If the checkpoint has no chat template, or another than 2B4T's.
        """
        if self.chat_template != CHAT_TEMPLATE:
            found = (
                "none" if self.chat_template is None else repr(self.chat_template[:60])
            )
            raise ValueError(
                f"chat_template must be that of BitNet b1.58 2B4T, got {found}; "
                "write the conversation out and use encode"
            )
        return self.encode(render_chat(messages))


def render_chat(messages: Sequence[Mapping[str, str]]) -> str:
    """A conversation as one text, up to where the answer begins, as 2B4T writes it.

    Raises ValueError if a message lacks its role or content.
    """
    turns = []
    for message in messages:
        if not all(isinstance(message.get(key), str) for key in ("role", "content")):
            raise ValueError(
                f"a message must have role and content, got {dict(message)}"
            )
        role, content = message["role"].capitalize(), message["content"].strip()
        turns.append(f"{role}: {content}{END_OF_TURN}")
    return "".join(turns) + "Assistant: "


def load_tokenizer(directory: Path) -> Tokenizer | None:
    """The tokenizer of a checkpoint; None if there is no tokenizer.json.

    Raises CheckpointError if a file is damaged.
    """
    file = directory / "tokenizer.json"
    if not file.exists():
        return None
    inner = read_with_library(file) or read_bpe(file)
    config_file = directory / "tokenizer_config.json"
    config = read_json(config_file) if config_file.exists() else {}
    template = config.get("chat_template")
    return Tokenizer(inner, template if isinstance(template, str) else None)


def read_with_library(file: Path) -> Library | None:
    """What tokenizer.json describes; None where the library is not installed."""
    try:
        import tokenizers
    except ImportError:
        return None
    try:
        library = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises plain Exception
        raise CheckpointError(f"{file}: expected a tokenizer, found {error}") from None
    library.no_truncation()
    library.no_padding()
    return Library(library)
