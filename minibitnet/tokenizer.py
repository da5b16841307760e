"""The tokenizer: text to ids and back, and a conversation as one text.

The tokenizers library does the splitting, by the checkpoint's own tokenizer.json. What
this module adds are the two things that ports get wrong around it: exactly one
begin-of-text token in front, and a chat template that is exact to the last blank.

Notes
-----
A conversation is written message after message, with no line breaks::

    Role: content<|eot_id|>        the role capitalized, the content stripped
    Assistant:␣                    at the end, where the model is to go on

The blank after the last colon belongs to the prompt and is a token of its own (220):
the model was trained to continue from there. The whole is encoded as one text, so
elsewhere the blank joins the word behind it: "User: hi" ends in the token " hi". The
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
from typing import TYPE_CHECKING

from minibitnet.files.jsonfile import CheckpointError, read_json

if TYPE_CHECKING:
    import tokenizers

# The template that `render_chat` writes, as 2B4T's tokenizer_config.json has it.
CHAT_TEMPLATE = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = message['role'] | capitalize + ': '+ message['content'] | trim"
    " + '<|eot_id|>' %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)
BEGIN_OF_TEXT, END_OF_TEXT = "<|begin_of_text|>", "<|end_of_text|>"
END_OF_TURN = "<|eot_id|>"


class Tokenizer:
    """The tokenizer of a checkpoint.

    Parameters
    ----------
    inner : tokenizers.Tokenizer
        What tokenizer.json describes.
    chat_template : str or None
        What tokenizer_config.json says of conversations.
    """

    def __init__(self, inner: "tokenizers.Tokenizer", chat_template: str | None) -> None:
        self.inner = inner
        self.chat_template = chat_template
        # What the tokenizer itself puts before a text; some have no begin-of-text.
        self.bos_ids: list[int] = inner.encode("").ids[:1]

    def encode(self, text: str) -> list[int]:
        """The ids of a text, begin-of-text first.

        Parameters
        ----------
        text : str
            Any text. Special tokens spelled out in it, as ``<|eot_id|>``, are taken as
            such.

        Returns
        -------
        ids : list of int
            With exactly one begin-of-text.

        Raises
        ------
        ValueError
            If the text holds bytes that are not UTF-8.
        """
        try:
            ids = self.inner.encode(text, add_special_tokens=False).ids
        except TypeError:
            raise ValueError(f"text must be UTF-8, got {text!r:.60}") from None
        if ids[:1] == self.bos_ids:
            return list(ids)
        return self.bos_ids + list(ids)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of ids, special tokens left out.

        Parameters
        ----------
        ids : sequence of int
            Token ids.

        Returns
        -------
        text : str
            What they spell.
        """
        return str(self.inner.decode([int(token) for token in ids]))

    def stream(self, tokens: Iterable[int]) -> Iterator[str]:
        """The text of tokens as they come.

        A letter may be spread over several tokens; it comes with the last of them.

        Parameters
        ----------
        tokens : iterable of int
            Token ids, as `minibitnet.generate` yields them.

        Yields
        ------
        text : str
            The next piece of the text.
        """
        from tokenizers.decoders import DecodeStream

        decoder = DecodeStream(skip_special_tokens=True)
        for token in tokens:
            yield decoder.step(self.inner, int(token)) or ""

    def chat(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """The ids of a conversation that the model is to go on with.

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
    """A conversation as one text, up to where the answer begins.

    Parameters
    ----------
    messages : list of dict
        Each with a ``role`` and its ``content``.

    Returns
    -------
    text : str
        By the template of 2B4T.

    Raises
    ------
    ValueError
        If a message lacks its role or content.
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
    """The tokenizer of a checkpoint.

    Parameters
    ----------
    directory : Path
        Where tokenizer.json and tokenizer_config.json lie.

    Returns
    -------
    tokenizer : Tokenizer or None
        None if there is no tokenizer.json.

    Raises
    ------
    CheckpointError
        If tokenizer.json is damaged.
    """
    import tokenizers

    file = directory / "tokenizer.json"
    if not file.exists():
        return None
    try:
        inner = tokenizers.Tokenizer.from_file(str(file))
    except Exception as error:  # the library raises plain Exception
        raise CheckpointError(f"{file}: expected a tokenizer, found {error}") from None
    inner.no_truncation()
    inner.no_padding()
    config_file = directory / "tokenizer_config.json"
    config = read_json(config_file) if config_file.exists() else {}
    template = config.get("chat_template")
    return Tokenizer(inner, template if isinstance(template, str) else None)
