"""A tokenizer.json for tokens and merges: what `minibitnet.text.tokenizerfile` reads.

Examples
--------
>>> page = tokenizer_page({"a": 0}, [], added=[(1, "<s>", True)], bos=(1, "<s>"))
>>> page["model"]["vocab"], page["post_processor"]["single"][0]["SpecialToken"]["id"]
({'a': 0}, '<s>')
"""

from collections.abc import Mapping, Sequence
from typing import Any

from minibitnet.text.tokenizerfile import FLAGS, PRE_TOKENIZER


def tokenizer_page(
    vocabulary: Mapping[str, int],
    merges: Sequence[Any],
    added: Sequence[tuple[int, str, bool]],
    bos: tuple[int, str] | None,
) -> dict[str, Any]:
    """A tokenizer.json as `read_bpe` reads it.

    `added` has id, text and whether it is special of each token beside the vocabulary;
    `bos` id and text of the one that is put before a text.
    """
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {"id": i, "content": content, **FLAGS, "special": special}
            for i, content, special in added
        ],
        "normalizer": None,
        "pre_tokenizer": PRE_TOKENIZER,
        "post_processor": None if bos is None else before_a_text(*bos),
        "decoder": {
            "type": "ByteLevel",
            "add_prefix_space": True,
            "trim_offsets": True,
            "use_regex": True,
        },
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": True,
            "vocab": dict(vocabulary),
            "merges": list(merges),
        },
    }


def before_a_text(i: int, content: str) -> dict[str, Any]:
    """A post-processor that puts one token before a text."""
    single = [
        {"SpecialToken": {"id": content, "type_id": 0}},
        {"Sequence": {"id": "A", "type_id": 0}},
    ]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {content: {"id": content, "ids": [i], "tokens": [content]}},
    }
