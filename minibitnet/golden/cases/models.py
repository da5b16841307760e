"""Cases of whole models: every stage of a text, and the greedy text.

The small model shows every array of a text read at once, in pieces and a token at a
time: the same numbers. The built-in model shows that a port holds out over six layers
and two hundred tokens.
"""

import numpy as np

from minibitnet.golden.cases import Case
from minibitnet.golden.cases.text import QUIRKY, STORIES
from minibitnet.golden.quirky import BOS

IDS = {
    QUIRKY: [BOS, 259, 32, 102, 111, 120, 263, 100, 258, 256, 267, 10],
    STORIES: [4093, 484, 493, 258, 427],  # Once upon a time
}
PIECES = {
    QUIRKY: {"prefill": [12], "pieces": [5, 1, 6], "steps": [1] * 12},
    STORIES: {"prefill": [5], "pieces": [3, 2], "steps": [1] * 5},
}
WHY = {
    "prefill": "Every stage of a text read at once.",
    "pieces": "The same text in pieces: the same numbers.",
    "steps": "The same text a token at a time: the same numbers.",
}


def cases() -> list[Case]:
    """All of them."""
    cases = []
    for model, cuts in PIECES.items():
        label = model.split("/")[1]
        inputs = {"ids": np.int32(IDS[model])}
        for cut, pieces in cuts.items():
            p = {"model": model, "pieces": pieces}
            cases.append(Case(f"forward/{label}_{cut}", WHY[cut], inputs, p))
        why = "Two hundred tokens, each time the most likely one, or until the text ends."
        p = {"model": model, "n": 200}
        cases.append(Case(f"generate/{label}", why, inputs, p))
    return cases
