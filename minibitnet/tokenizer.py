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
template itself has no begin-of-text; one is put in front, as the model's own example
does it, and no second where the text already has it.

So it is with the template of 2B4T. Any other is rendered by `minibitnet.text.jinja`,
and begin-of-text is what it writes, as in transformers. What a message spells out is
text, with any template: see `minibitnet.text.controltokens`.

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

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, partial
from pathlib import Path

from minibitnet.bpe import BPE
from minibitnet.files.published import CHAT_TEMPLATE
from minibitnet.text.chattemplate import (
    import_jinja,
    read_if_there,
    read_names,
    read_template,
)
from minibitnet.text.controltokens import (
    Messages,
    check_messages,
    check_text,
    encode_chat,
    find_end_of_turn,
)
from minibitnet.text.library import Library, read_with_library
from minibitnet.text.streaming import stream
from minibitnet.text.tokenizerfile import read_bpe

BEGIN_OF_TEXT, END_OF_TEXT = "<|begin_of_text|>", "<|end_of_text|>"
END_OF_TURN = "<|eot_id|>"


class Tokenizer:
    """The tokenizer of a checkpoint.

    Parameters
    ----------
    inner : BPE or Library
        What tokenizer.json describes.
    chat_template : str or None
        How the checkpoint writes a conversation.
    names : dict, optional
        What a template calls special tokens, as ``{"bos_token": "<s>"}``.
    """

    def __init__(
        self,
        inner: BPE | Library,
        chat_template: str | None,
        names: Mapping[str, str] | None = None,
    ) -> None:
        self.inner = inner
        self.bos_ids = inner.bos_ids
        self.chat_template = chat_template
        self.names = names or {}

    @cached_property
    def is_2b4t(self) -> bool:
        """Whether the chat template is that of 2B4T, in whatever spelling."""
        if self.chat_template in (None, CHAT_TEMPLATE, f"{CHAT_TEMPLATE}\n"):
            return self.chat_template is not None
        return import_jinja().same(self.chat_template, CHAT_TEMPLATE)

    @cached_property
    def end_of_turn(self) -> dict[str, int]:
        """The token with which an answer ends, and its id; none if not known."""
        try:
            return find_end_of_turn(self.inner, partial(self.render, prompt=False))
        except ValueError:  # `chat` says so, where it matters
            return {}

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
        check_text(text)
        ids = self.inner.encode(text)
        return self.begin(ids) if bos else ids

    def begin(self, ids: list[int]) -> list[int]:
        """The ids with begin-of-text before them, if it is not there yet."""
        return ids if ids[: len(self.bos_ids)] == self.bos_ids else self.bos_ids + ids

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ids, special tokens left out.

        Raises ValueError if an id is that of no token.
        """
        return self.inner.decode(map(int, ids))

    def stream(self, tokens: Iterable[int], after: Iterable[int] = ()) -> Iterator[str]:
        """The text of tokens as they come, as `minibitnet.generate` yields them.

        Parameters
        ----------
        tokens : iterable of int
            What is written.
        after : iterable of int
            The prompt that it continues. Some tokenizers drop the first space of a
            text; here it is seen that the text has begun.

        Returns
        -------
        pieces : iterator of str
            One for each token, and what is left at the end: together what `decode`
            gives. A letter may be spread over several tokens; it comes with the last.
        """
        return stream(self.inner, map(int, tokens), [*map(int, after)])

    def chat(
        self, messages: Messages, *, allow_special: bool = False, opening: bool = True
    ) -> list[int]:
        """The ids of a conversation that the model is to continue.

        Parameters
        ----------
        messages : list of dict
            Each with a ``role`` (as ``"system"``, ``"user"``, ``"assistant"``) and its
            ``content``.
        allow_special : bool
            Special tokens spelled out in a message, as ``<|eot_id|>``, are text, and
            end no turn; True takes them as such, which transformers does by itself.

        Returns
        -------
        ids : list of int
            The messages and the start of an answer, as the chat template writes them,
            and with 2B4T's one begin-of-text. Other templates write their own.

        Raises
        ------
        ValueError
            If the checkpoint has no chat template, or the template refuses the
            messages.
        """
        check_messages(messages)
        render = partial(self.render, prompt=opening)
        if allow_special:
            ids = self.inner.encode(render(messages))
        else:
            control = {**self.inner.special, **self.end_of_turn}
            ids = encode_chat(self.inner, control, render, messages)
        return self.begin(ids) if self.is_2b4t else ids

    def render(self, messages: Messages, prompt: bool = True) -> str:
        """A conversation as one text, up to where the answer begins."""
        if self.chat_template is None:
            raise ValueError(
                "chat_template: there is none, so how a conversation is written is "
                "not known; write it out and use encode"
            )
        if self.is_2b4t:
            return render_chat(messages, prompt)
        return import_jinja().render(self.chat_template, messages, self.names, prompt)


def render_chat(messages: Messages, prompt: bool = True) -> str:
    """A conversation as one text, as 2B4T writes it, up to where the answer begins."""
    turns = []
    for message in messages:
        role, content = message["role"].capitalize(), message["content"].strip()
        turns.append(f"{role}: {content}{END_OF_TURN}")
    return "".join(turns) + "Assistant: " * prompt


def load_tokenizer(directory: Path) -> Tokenizer | None:
    """The tokenizer of a checkpoint; None if there is no tokenizer.json.

    Raises CheckpointError if a file is damaged.
    """
    file = directory / "tokenizer.json"
    if not file.exists():
        return None
    inner = read_with_library(file) or read_bpe(file)
    config = read_if_there(directory / "tokenizer_config.json")
    template, names = read_template(directory, config), read_names(directory, config)
    return Tokenizer(inner, template, names)
