# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 17. Where did a model go wrong that still talks?
#
# **You will be able to** find the first wrong stage of a port from its trace; tell from the difference what kind of mistake it is; and say which
# checks a wrong port passes.
#
# 30 minutes. Before: notebooks [5](05_bitlinear.ipynb), [7](07_feedforward.ipynb), [8](08_rope.ipynb) and [10](10_model.ipynb).

# %%
import numpy as np

import minibitnet as mb

np.set_printoptions(precision=4, suppress=True)
model, tokenizer = mb.load()

# %% [markdown]
# ## By hand
#
# Somebody has written BitNet in another language, a *port*. Its text is odd. Here are four stages of one of its layers, and what they
# should be:
#
# | stage | right | port | |
# |---|---|---|---|
# | `attn_in.codes` | 64, -127, 32, 0 | 64, -127, 32, 0 | equal |
# | `q.acc` | 96, -32 | 96, -32 | equal |
# | `q` | 0.3969, -0.1323 | 1.4398, -0.4799 | both × 3.628 |
# | `attn_weights` | 0.6, 0.4 | 0.9, 0.1 | |
#
# From `q` on everything differs; what comes later is wrong because `q` is. Between `q.acc` and `q` there is one line, `acc * (x_scale * w_scale)`. Both
# numbers are off by the same factor, so it is a scale. `w_scale` is 0.525:

# %%
1 / 0.525 / 0.525

# %% [markdown]
# The port divides where it should multiply. Nobody had to read its source.

# %% [markdown]
# ## The same, through the package
#
# A trace keeps every stage, in the order of computation:

# %%
import inspect

from minibitnet.golden.names import IN_A_BLOCK

print(inspect.getsource(mb.trace))

# %%
with open("data/stories.txt", encoding="utf-8") as file:
    stories = file.read().strip().split("\n\n")
ids = tokenizer.encode(stories[0])
with mb.trace() as stages:
    mb.forward(model, ids)
for row in IN_A_BLOCK[:6]:
    print(f"layers.L.{row.name:14} {row.dtype:8} {row.formula:24} {row.hf or '-'}")

# %% [markdown]
# The names of Hugging Face and of GGUF stand beside ours, so the arrays of a port can be matched to them.
#
# ## How near is near enough?
#
# Whole numbers, the stages in `.codes` and `.acc`, must be equal. Floats are equal, too, if a port does as the package: it carries every sum
# in float64 and rounds it to float32 once, so that the order of adding does not show. The same text token by token, the largest difference
# in any logit:

# %%
cache = mb.KVCache(model.config, len(ids))
logits = np.stack([mb.forward(model, ids[n : n + 1], cache)[0] for n in range(len(ids))])
np.abs(logits - stages["logits"]).max()

# %% [markdown]
# Many ports add in float32. The page ([notebook 10](10_model.ipynb)) shows what becomes of that, with every float64 in it made a float32:

# %%
from types import SimpleNamespace

from minibitnet import one_page
from minibitnet.stories import BUILT_IN

narrow = SimpleNamespace(__name__="narrow")
exec(inspect.getsource(one_page).replace("np.float64", "np.float32"), vars(narrow))


def run(port, ids):
    """All stages of the page, or of a port that is like it."""
    trace = {}
    port.forward(*port.load(BUILT_IN), ids, [], trace)
    return trace


def difference(right, port):
    """The largest difference, relative to the largest number of the stage."""
    right = right.astype(np.float64)
    return np.abs(right - port).max() / np.abs(right).max()


in_float32 = run(narrow, ids)
for L in range(6):
    names = [name for name in stages if name.startswith(f"layers.{L}.")]
    whole = [name for name in names if name.endswith((".codes", ".acc"))]
    wrong = sum(np.sum(stages[name] != in_float32[name]) for name in whole)
    largest = max(difference(stages[n], in_float32[n]) for n in names if n not in whole)
    print(f"layer {L}: {wrong:6} whole numbers differ, floats by up to {largest:.0e}")

# %% [markdown]
# A float is off by a millionth of its stage. That is harmless, until one of them lies so near to the middle between two codes that it is rounded
# to the other one. From there on it is another computation, for the whole rest of the text. Nothing is wrong with it, but nothing can be
# compared any more, either. So sum in float64. For those who do not, a tolerance of 1e-5 for floats lies well above rounding and, as we
# shall see, far below a mistake. Integers have none: off by one is wrong. So is a stage that is missing, has another shape, or holds a
# NaN, which is never "less or equal".


# %%
def is_wrong(right, port, tolerance):
    """Whether a stage of a port is wrong: integers by 1, floats by the tolerance."""
    right, port = np.asarray(right), np.asarray(port)
    if port.shape != right.shape or port.dtype.kind not in "iuf":
        return True
    if right.dtype.kind in "iu":
        return not np.array_equal(right, port)
    largest = np.abs(right.astype(np.float64) - port).max(initial=0)
    return not largest <= tolerance * np.abs(right).max(initial=0)


def first_difference(stages, others, tolerance=1e-5):
    """The name of the first stage that is missing or wrong, or None."""
    for name, right in stages.items():
        if name not in others or is_wrong(right, others[name], tolerance):
            return name


first_difference(stages, run(one_page, ids)), first_difference(stages, in_float32)

# %% [markdown]
# ## Three ports
#
# Each is the page with one mistake that real ports had. They begin a story:

# %%
from minibitnet.course.stages import PORTS

prompt = tokenizer.encode("Once upon a time")
for name, port in {"right": one_page, **PORTS}.items():
    new = port.generate(*port.load(BUILT_IN), prompt, 45)
    print(f"{name}:{tokenizer.decode(new)}\n")

# %% [markdown]
# A and C write as small models do. B stumbles, but it is English. Who would notice?
#
# It takes a number to see that they are wrong: what a text costs them, in bits per byte.

# %%
from minibitnet.evaluation.score import log_softmax


def cost(port):
    """Bits per byte of the stories."""
    bits = 0
    for text in map(tokenizer.encode, stories):
        logits = port.forward(*port.load(BUILT_IN), text[:-1], [])
        bits -= sum(log_softmax(row)[token] for row, token in zip(logits, text[1:])) / np.log(2)
    return bits / len("".join(stories).encode())


for name, port in {"right": one_page, **PORTS}.items():
    print(f"{name:5} {cost(port):.3f}")

# %% [markdown]
# All are worse, C by so little that on one story one might miss it. And such a number says only *that* something is wrong. Now the
# traces:

# %%
traces = {name: run(port, ids) for name, port in PORTS.items()}
{name: first_difference(stages, others) for name, others in traces.items()}

# %% [markdown]
# ## What it looks like
#
# Each line is a port: the relative difference stage by stage. On the left of its first point a port is right.

# %%
import matplotlib.pyplot as plt

names = [name for name in stages if name.startswith("layers.0.")]
figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
for port, others in traces.items():
    sizes = np.array([difference(stages[name], others[name]) for name in names])
    axes.semilogy(np.where(sizes > 0, sizes, np.nan), "o-", ms=4, label=f"port {port}")
axes.axhline(1e-5, color="k", ls="--", lw=1, label="tolerance for floats")
axes.set_xticks(range(len(names)), [name.removeprefix("layers.0.") for name in names], rotation=90)
axes.set_ylabel("relative difference")
axes.legend(frameon=False, loc="upper left");

# %% [markdown]
# Where a line has a gap, the stage is equal: `k.acc` of A, for instance. Now the first wrong stage, right against port. Each mistake has its own look:

# %%
figure, (a, b, c) = plt.subplots(1, 3, figsize=(10, 3.3), layout="constrained")
a.plot(stages["layers.0.q"].ravel(), traces["A"]["layers.0.q"].ravel(), ".", ms=2)
a.set(title="A: q", xlabel="right", ylabel="port")
for position, color in ((0, "tab:green"), (40, "tab:red")):
    right, port = (s["layers.0.q.rope"][position].ravel() for s in (stages, traces["B"]))
    b.plot(right, port, ".", ms=3, color=color, label=f"position {position}")
b.set(title="B: q.rope", xlabel="right")
b.legend(frameon=False)
gate, up = stages["layers.0.gate"].ravel(), stages["layers.0.up"].ravel()
some = np.abs(up) > 0.1
for label, values in (("right", stages), ("port", traces["C"])):
    passed = values["layers.0.relu2_gate"].ravel()[some] / up[some]
    c.plot(gate[some], passed, ".", ms=2, label=label)
c.set(title="C: relu2_gate / up", xlabel="gate")
c.legend(frameon=False, markerscale=4);

# %% [markdown]
# **A** is a straight line through zero: every number too large by one factor. That is a scale. **B** is right at position 0 and
# scattered elsewhere, but for slow pairs, which have hardly turned: something that depends on the position. **C** drawn over the gate is
# another curve, straight where it should bend: another activation. Here are the three, what the page says and what the port says:

# %%
from textwrap import indent

from minibitnet.course.stages import CHANGES

for name, change in CHANGES.items():
    right, wrong = (text.rstrip() for text in change)
    print(name, indent(right, "- "), indent(wrong, "+ "), "", sep="\n")

# %% [markdown]
# C is not made up. Since the middle of 2026 Microsoft's own C++ runtime computes 2B4T so. On 2B4T it costs much more than here: the
# perplexity of wikitext-2 ([notebook 7](07_feedforward.ipynb)) rises from 17.1 to 99.8 (microsoft/BitNet, issue 588). And its texts are still fluent.

# %% [markdown]
# ## What goes wrong otherwise
#
# **One token is not enough.** At position 0 nothing is turned, and a single token sees only itself. With one token B has no difference at
# all:

# %%
print(first_difference(run(one_page, ids[:1]), run(PORTS["B"], ids[:1])))

# %% [markdown]
# **Only the logits.** They differ in all three, and by how much says nothing of where:

# %%
{name: float(difference(stages["logits"], others["logits"])) for name, others in traces.items()}

# %% [markdown]
# **Only the choice.** How often is the port's most likely next token ours?

# %%
best = stages["logits"].argmax(axis=1)
{name: float(np.mean(others["logits"].argmax(axis=1) == best)) for name, others in traces.items()}

# %% [markdown]
# **A comparison that NaN passes.** NaN is not larger than anything. Ask "not small", never "large":

# %%
nan = np.float32("nan")
nan > 1e-5, not nan <= 1e-5

# %% [markdown]
# ## Exercises
#
# **1.** A port's `up.acc` is right, its `up` four times too large. The right `w_scale` is 0.5. By what does the port multiply?

# %%
from minibitnet.course.stages import check_first, check_port_d, check_scale, port_d

answer = ...
check_scale(answer)

# %% [markdown]
# **2.** Write the comparison. `right` and `port` are (n, k), one stage a row, in order; a stage is wrong if its largest difference is above `tolerance` times
# the largest of its right numbers, or is NaN. Return the index of the first wrong row, or -1.


# %%
def first(right, port, tolerance):
    return ...


check_first(first)

# %% [markdown]
# **3.** Port D has another mistake. Trace it as above: `run(port_d, ids)`. At which index in `list(stages)` does it first differ? And
# can you say what it did?

# %%
index = ...
check_port_d(index)

# %% [markdown]
# ## Summary
#
# - Go through the stages in order. The first that differs has the mistake in it; what follows is wrong anyway.
# - Integers are equal or wrong. So are floats, if every sum is carried in float64 and rounded once; otherwise they get a tolerance, measured,
#   relative to the stage.
# - One factor: a scale. Right at position 0 only: the position. Another curve: the activation. The right numbers in other
#   rows or heads: the order.
# - Fluent text proves nothing.
#
# **Next:** [notebook 18](18_layouts.ipynb), the same weights in other bytes, where ports go wrong most. [The cheat sheet](../CHEATSHEET.md) has all traps with the stage at which each shows first;
# the module of this notebook is [stages.py](../minibitnet/stages.py), the table of names [names.py](../minibitnet/golden/names.py).
