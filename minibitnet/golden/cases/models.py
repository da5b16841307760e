"""Cases of whole models: every stage of a text, and the greedy text.

The small model shows every array of a text read at once, in pieces and a token at a
time: the same numbers. The built-in model shows that a port holds out over six layers
and two hundred tokens.
"""

from minibitnet.golden.cases import Case, i32
from minibitnet.golden.cases.text import LLAMA, QUIRKY, STORIES
from minibitnet.golden.quirky import BOS

IDS = {
    QUIRKY: [BOS, 259, 269, 100, 32, 111, 263, 100, 258, 256, 267, 10],
    LLAMA: [BOS, 259, 32, 102, 111],
    STORIES: [4093, 484, 493, 258, 427],  # Once upon a time
}
PIECES = {
    QUIRKY: {"prefill": [12], "pieces": [5, 1, 6], "steps": [1] * 12},
    LLAMA: {"prefill": [5]},
    STORIES: {"prefill": [5], "pieces": [3, 2], "steps": [1] * 5},
}
WHY = {
    "prefill": "Every stage of a text read at once.",
    "pieces": "The same text in pieces: the same numbers.",
    "steps": "The same text a token at a time: the same numbers.",
}
GREEDY = (
    ("quirky_200", QUIRKY, IDS[QUIRKY], "Two hundred tokens, each the most likely."),
    ("stories_200", STORIES, IDS[STORIES], "A story of two hundred tokens."),
    ("quirky_end", QUIRKY, [BOS, 38], "The id that config.json names ends a text."),
    ("quirky_turn", QUIRKY, [BOS, 15], "So does that of generation_config.json."),
)


def cases() -> list[Case]:
    """All of them."""
    cases = []
    for model, cuts in PIECES.items():
        inputs = {"ids": i32(IDS[model])}
        for cut, pieces in cuts.items():
            p: dict[str, object] = {"model": model, "pieces": pieces}
            label = model.split("/")[1]
            cases.append(Case(f"forward/{label}_{cut}", WHY[cut], inputs, p))
    for name, model, ids, why in GREEDY:
        p = {"model": model, "n": 200}
        cases.append(Case(f"generate/{name}", why, {"ids": i32(ids)}, p))
    return cases


# Of the built-in model's stages these are there in full; of the others, integers and
# scales by their hash.
FULL = (
    *("embed", "layers.0.attn", "layers.0.relu2_gate", "layers.0.ffn_residual"),
    *("layers.5.ffn_residual", "final_norm", "logits"),
)


def belongs(case: Case, stage: str) -> bool:
    """Whether a stage is among the outputs of a case."""
    exact = stage.endswith((".codes", ".acc", ".scale"))
    return case.parameters["model"] != STORIES or exact or stage in FULL


def is_stored(case: Case, stage: str) -> bool:
    """Whether a stage's bytes are in the set; else its hash is."""
    whole = case.parameters["model"] != STORIES or stage in FULL
    return whole and case.id.endswith("prefill")
