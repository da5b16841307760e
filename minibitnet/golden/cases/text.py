"""Cases of text: ids and back, conversations, choosing a token.

Texts with what tokenizers get wrong: several spaces, digits, line ends, letters of
several bytes, special tokens spelled out. Logits with equals, and cuts that fall on
them.
"""

import json

import numpy as np
from numpy.typing import NDArray

from minibitnet.golden.cases import Case, f32, uniform
from minibitnet.golden.quirky import BOS, TURN

QUIRKY, LLAMA, STORIES = "models/quirky", "models/llama", "models/stories"
TEXTS = {
    "empty": "",
    "word": "thin",
    "space": " the other man",
    "spaces": "a  b   \n  c ",
    "digits": "1234567 and 12",
    "contractions": "It's here, WE'LL see; 's",
    "line_ends": "one\r\n\r\ntwo\n three\n",
    "letters": "né Straße 你好 \U0001f98a",
    "signs": "...!?\n(a) -- <b> $5",
    "strange_spaces": "a\u00a0b\u3000c\td\x1ce",
    "whole_words": "the fox, the end",
    "special": "end<|eot_id|>and<|begin_of_text|>",
    "begun": "<|begin_of_text|>the",
    "nearly_special": "<|eot_id> |>",
}
CHATS = {
    "question": [("user", "What is the moon?")],
    "system": [("system", "Be brief."), ("user", "  Why?\n")],
    "turns": [("user", "hi"), ("assistant", "Hello. "), ("user", "né \U0001f98a")],
    "role": [("USER", "a"), ("tool", "b")],
}


def raw(text: str) -> NDArray[np.uint8]:
    """The bytes of a text in UTF-8."""
    return np.frombuffer(text.encode(), np.uint8)


def texts() -> list[Case]:
    """Text to ids and back."""
    cases = []
    for model in (QUIRKY, STORIES):
        label = model.split("/")[1]
        for name, text in TEXTS.items():
            why = f"Begin-of-text, then {text!r}, by merges in the order of their rank."
            p = {"model": model, "bos": True}
            inputs = {"text": raw(text)}
            cases.append(Case(f"encode/{label}_{name}", why, inputs, p))
    why = "A text that continues another has no begin-of-text."
    p = {"model": QUIRKY, "bos": False}
    cases.append(Case("encode/quirky_no_bos", why, {"text": raw(" the")}, p))
    for name, why, ids in (
        ("letters", "A letter of several bytes in several tokens.", [*"né🦊".encode()]),
        ("special", "Special tokens stand for no text.", [BOS, 116, 258, TURN]),
        ("cut", "Bytes that are no text become U+FFFD.", [195, 104, 240, 159]),
        ("none", "No ids, no text.", []),
    ):
        inputs, model_only = {"ids": np.array(ids, np.int32)}, {"model": QUIRKY}
        cases.append(Case(f"decode/{name}", why, inputs, model_only))
    for name, turns in CHATS.items():
        messages = [{"role": role, "content": content} for role, content in turns]
        text = json.dumps(messages, ensure_ascii=False)
        why = "The role capitalized, the content stripped, <|eot_id|>; 'Assistant: '."
        for model in (QUIRKY, STORIES):
            inputs, p = {"messages": raw(text)}, {"model": model}
            label = model.split("/")[1]
            cases.append(Case(f"chat/{label}_{name}", why, inputs, p))
    return cases


def choices() -> list[Case]:
    """From logits to one token."""
    cases = []
    for name, why, logits in (
        ("first", "Of equals the first.", f32([0, 3, 1, 3, 3])),
        ("last", "The largest comes last.", f32([-4, -3, -2, -1])),
        ("close", "The last bit decides.", f32([1, 1.0000001, 1])),
        ("drawn", "Many.", uniform(40, 271)),
    ):
        cases.append(Case(f"greedy/{name}", why, {"logits": logits}))
    likely = f32(np.log([0.5, 0.1, 0.4]).round(6))
    equal = f32([1, 2, 2, 2, 0])
    for name, why, logits, temperature, top_k, top_p in (
        ("plain", "The softmax.", likely, 1.0, 0, 1.0),
        ("flat", "Temperature above 1.", likely, 2.5, 0, 1.0),
        ("sharp", "Temperature next to 0: no overflow.", likely, 1e-3, 0, 1.0),
        ("top_k", "Of equals the lowest ids are kept.", equal, 1.0, 2, 1.0),
        (
            "top_p",
            "Kept until they sum to p, the one that reaches it too.",
            likely,
            1.0,
            0,
            0.6,
        ),
        ("top_p_one", "The first alone is enough.", likely, 1.0, 0, 0.4),
        ("both", "First top-k, then top-p of what is left.", equal, 1.0, 3, 0.5),
        ("order", "The temperature comes before the cuts.", likely, 4.0, 0, 0.5),
    ):
        p = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
        cases.append(Case(f"probabilities/{name}", why, {"logits": logits}, p))
    for name, why, u in (
        ("zero", "0 does not fall on a token of probability 0.", 0.0),
        ("below", "Just below a boundary.", 0.24999999999999997),
        ("boundary", "A boundary belongs to the next token.", 0.25),
        ("last", "Just below 1: not a token of probability 0 either.", 1 - 2**-53),
    ):
        inputs = {"p": np.array([0, 0.25, 0, 0.5, 0.25, 0]), "u": np.array([u])}
        cases.append(Case(f"pick/{name}", why, inputs))
    return cases


def cases() -> list[Case]:
    """All of them."""
    return [*texts(), *choices()]
