"""A tokenizer of one's own: which pieces of text get a token.

Byte-pair encoding starts from the 256 bytes and joins the pair that stands together
most often, again and again, until the vocabulary is full. Common words end up as one
token, rare ones as several, and nothing is left without. The tokenizers library does
it; what is chosen here is all that makes the result a tokenizer of the kind 2B4T has.

Notes
-----
Text is first split by the pattern of Llama 3: letters with one character before them,
numbers in threes, punctuation, line breaks, spaces. No pair is joined across a split.
The special tokens have the names that 2B4T uses, and ids after all others.

References
----------
Sennrich et al., Neural Machine Translation of Rare Words with Subword Units, 2015,
arXiv 1508.07909; tokenizer.json of microsoft/bitnet-b1.58-2B-4T (the pattern).

Examples
--------
>>> inner = train_vocabulary(["the cat, the hat"] * 3, size=264)
>>> inner.encode("the cat", add_special_tokens=False).tokens
['the', 'Ġ', 'cat']
>>> inner.encode("the cat").tokens[0], inner.token_to_id(END_OF_TURN)
('<|begin_of_text|>', 263)
"""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from minibitnet.files.published import CHAT_TEMPLATE
from minibitnet.files.writing import write_json
from minibitnet.tokenizer import (
    BEGIN_OF_TEXT,
    END_OF_TEXT,
    END_OF_TURN,
)

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SPECIAL = (BEGIN_OF_TEXT, END_OF_TEXT, END_OF_TURN)
SMALLEST = 256 + len(SPECIAL)  # a token for each byte: any text, if at length
LARGEST = 2**24  # the library makes room for all of them before it begins
SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_vocabulary(texts: Iterable[str], size: int) -> "Tokenizer":
    """A byte-level tokenizer of at most `size` tokens, learned from texts.

    A ValueError if there is no room for the bytes and the special tokens, or far too
    much.
    """
    if size < SMALLEST:
        raise ValueError(f"size must be {SMALLEST} or more, got {size}")
    if size > LARGEST:
        raise ValueError(f"size must be {LARGEST} or less, got {size}")
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
    from tokenizers.processors import TemplateProcessing
    from tokenizers.trainers import BpeTrainer

    inner = Tokenizer(models.BPE(ignore_merges=True))
    inner.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = BpeTrainer(
        vocab_size=size - len(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),  # even bytes not seen
        show_progress=False,
    )
    inner.train_from_iterator(texts, trainer)
    inner.add_special_tokens(list(SPECIAL))  # last, so their ids are the highest
    inner.decoder = decoders.ByteLevel()
    inner.post_processor = TemplateProcessing(
        single=f"{BEGIN_OF_TEXT} $A",
        special_tokens=[(BEGIN_OF_TEXT, inner.token_to_id(BEGIN_OF_TEXT))],
    )
    return inner


def save_vocabulary(inner: "Tokenizer", directory: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json into a directory."""
    # not inner.save, whose errors are no OSError
    text = inner.to_str(pretty=True)
    (directory / "tokenizer.json").write_text(text, encoding="utf-8")
    page = {
        "bos_token": BEGIN_OF_TEXT,
        "chat_template": CHAT_TEMPLATE,
        "eos_token": END_OF_TURN,
        "tokenizer_class": "PreTrainedTokenizerFast",
    }
    write_json(directory / "tokenizer_config.json", page)
