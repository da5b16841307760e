"""Write DISTANCES.md: how far apart right programs are, for people to read.

Use: python tools/write_distances.py
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

import minibitnet as mb
from minibitnet import bf16, one_page
from minibitnet.commands.precision import first_code, first_token, row, tables
from minibitnet.golden.fingerprints import choose_ids
from minibitnet.golden.precision import climb, distance, read
from minibitnet.golden.rungs import RUNGS
from minibitnet.stories import BUILT_IN

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "DISTANCES.md"
RECORDED = ROOT / "tests" / "golden" / "precision"
NEW = 60  # tokens written after each beginning
BEGINNINGS = (
    "Once upon a time there was a fox",
    "The old lighthouse",
    "One day, a little girl named Lily",
    "Tom had a red ball.",
    "It was raining",
    '"Where are you?" asked the bear.',
    "In the garden lived 3 snails",
    "The king was sad because",
)
HEAD = """# How far apart right programs are

Two programs of this contract are equal, bit for bit. A program with another arithmetic is near them everywhere and equal nowhere: most runtimes
multiply dequantized numbers, in float32 or in bfloat16. None of that is a mistake. So before a difference is called one, look how far
apart two programs are that are both right.

```console
$ minibitnet precision
```

has the model read a text in three other arithmetics. Each is [one_page.py](minibitnet/one_page.py) with a few lines changed, as a bug of
[the zoo](BUGS.md) is; [golden/rungs.py](minibitnet/golden/rungs.py) has the lines:

| | |
|---|---|
| dequantized | codes times scale, in float32, before the product with the weights |
| float32 | the same as torch computes it: codes divided by `127 * (1 / max)` |
| bfloat16 | transformers as users run it: every step rounded to 8 bits |

This page is written by `tools/write_distances.py`.
"""
WHEN = f"""## When they part

The built-in model continues eight beginnings by {NEW} tokens, each time the most likely one. How many tokens are read before one has
another code, in any layer; and how many are written before another one is:
"""
HOW_FAR = """## How far, stage by stage

What `minibitnet precision` prints. Of codes the share of tokens that have another one anywhere; of all else the length of the
difference in parts of the length of the right array; in the first layer and in the last:
"""
HELD = """## Held to transformers

[tools/record_precision.py](tools/record_precision.py) recorded what transformers 5.23 computes (eager attention, torch 2.13 on a CPU). In bfloat16 the
changed page has its very bits after every layer, and with any one of the changes before the logits left out it has not. In float32 what remains is the
order of sums, up to where a code differs:
"""
FOLLOWS = """## What follows for a port

- A port of this contract is equal or wrong: `minibitnet conform`, `minibitnet compare`. To publish what a model computes, or to see whether a
  copy of it computes the same, in another file format or program: `minibitnet fingerprint`
  ([golden/fingerprints.py](minibitnet/golden/fingerprints.py) says what the hashes are of).
- Dequantizing by itself moves nothing but last bits, until one of them moves a code.
- Torch computes `127 / x` as `127 * (1 / x)`. That is another float32 for one x in four, and moves codes that lie in the middle between two. Who
  ports transformers must do the same; who ports the contract must not.
- One other code is enough: the layers behind it carry it on, and soon most tokens differ by a part in a hundred. That is no mistake. A
  mistake shows in the first layer, at the first token, as a distance far above the one in its row here; `minibitnet diagnose` knows forty-three.
- A changed token says nothing where the two most likely ones are as near to each other as the logits of the two programs.
"""


def page() -> str:
    """The whole page."""
    parts = (
        HEAD,
        WHEN,
        *when(),
        "",
        HOW_FAR,
        *how_far(),
        "",
        HELD,
        *held(),
        "",
        FOLLOWS,
    )
    return "\n".join(parts)


def when() -> Iterator[str]:
    """A row for each beginning."""
    model, tokenizer = mb.load()
    yield row("beginning", [f"{name}: read | written" for name in RUNGS])
    yield row("---", ["---"] * (2 * len(RUNGS)))
    for text in BEGINNINGS:
        rungs = climb(BUILT_IN, model, tokenizer.encode(text), NEW)
        cells = (
            f"{first_code(rung).split()[0]} | {first_token(rung)}" for rung in rungs
        )
        yield row(text, cells)


def how_far() -> Iterator[str]:
    """The tables of the command."""
    model, tokenizer = mb.load()
    rungs = climb(BUILT_IN, model, choose_ids(model, tokenizer)[0], 100)
    yield from tables(rungs, model.config.num_hidden_layers)


def held() -> Iterator[str]:
    """A row for each recorded run."""
    yield row("model", ["tokens", "bfloat16: rows with the same bits", *DISTANCES])
    yield row("---", ["---"] * 4)
    for file in sorted(RECORDED.glob("*.npz")):
        name = file.stem
        model = BUILT_IN if name == "stories" else ROOT / "tests" / "recorded" / name
        with np.load(file) as recorded:
            yield row(name, compare(model, dict(recorded)))


DISTANCES = (
    "float32 from transformers, first layer - last",
    "the contract from transformers",
)


def compare(model: Path, recorded: dict[str, np.ndarray]) -> Iterator[str]:
    """How many tokens, and how far transformers is."""
    ids, layers = recorded["ids"], len(recorded["float32"])
    exact: dict[str, np.ndarray] = {}
    one_page.forward(*one_page.load(model), ids, [], exact)
    yield str(len(ids))
    rows = bf16.widen(recorded["bfloat16"]) == after(
        read("bfloat16", model, ids), layers
    )
    yield f"{rows.all(axis=2).sum()} of {rows[..., 0].size}"
    for stages in (read("float32", model, ids), exact):
        found = after(stages, layers)
        ends = (distance(recorded["float32"][n], found[n]) for n in (0, -1))
        yield " - ".join(f"{far:.1e}" for far in ends)


def after(stages, layers: int) -> np.ndarray:
    """The tokens after each layer."""
    return np.stack([stages[f"layers.{n}.ffn_residual"] for n in range(layers)])


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
