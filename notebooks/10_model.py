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
# # 10. What happens to a token on its way through the model?
#
# **You will be able to** follow one token from its id to the logits, stage by stage; say what each stage adds; and find any
# intermediate number of any model by its name.
#
# 30 minutes. Before: notebooks [5](05_bitlinear.ipynb) to [9](09_attention.ipynb).

# %%
import numpy as np

import minibitnet as mb

np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## By hand
#
# The smallest model there is: four tokens, vectors of two numbers, no blocks at all. An id picks a row of the embedding; the row is
# normalized; the logits are its dot products with all rows.

# %%
E = np.array([[3.0, 0.0], [0.0, 3.0], [-3.0, 0.0], [2.0, 2.0]], np.float32)
h = E[3]
normed = h / np.sqrt(np.mean(h**2))
E @ normed

# %% [markdown]
# Token 3 resembles itself most, so the model says 3 again, and again. Blocks are what changes that: each *adds* something to `h`, so that in
# the end it resembles what comes next.

# %% [markdown]
# ## The same, through the package

# %%
import inspect

from minibitnet import model as model_module

print(inspect.getsource(model_module.run))

# %%
print(inspect.getsource(model_module.run_block))

# %% [markdown]
# Inside `with mb.trace()` every array is kept under its name:

# %%
model, tokenizer = mb.load()
ids = tokenizer.encode("Once upon a")
with mb.trace() as stages:
    logits = mb.forward(model, ids)
len(stages), list(stages)[:4]

# %% [markdown]
# ## The whole model on one page
#
# `run` and `run_block` call the modules that you know. [one_page.py](../minibitnet/one_page.py) has all of it in one file of two hundred
# lines, from the bytes of the checkpoint to the next token, with NumPy alone. Nothing in it is checked and nothing is fast. It has a
# `load`, which returns two dictionaries, and a `forward`, which fills a trace:

# %%
from minibitnet import one_page
from minibitnet.stories import BUILT_IN

page = {}
config, weights = one_page.load(BUILT_IN)
one_page.forward(config, weights, ids, [], page)
list(page) == list(stages), [n for n in page if not np.array_equal(page[n], stages[n])]

# %% [markdown]
# The same names in the same order, and none whose numbers differ, to the last bit. (Elsewhere `attn_weights` and `logits` may, in a last
# bit.) So it may be read in place of the package, and ported. It runs by itself, too, from a directory and ids to the next 20 ids:

# %%
import subprocess
import sys

command = [sys.executable, "-m", "minibitnet.one_page", str(BUILT_IN), ",".join(map(str, ids))]
new = subprocess.run(command, capture_output=True, text=True, check=True).stdout
new, tokenizer.decode(int(token) for token in new.split())

# %% [markdown]
# ## One block, number by number
#
# The last token (" a") in layer 0; of each array the first four numbers.

# %%
prefix = "layers.0."
for name, array in stages.items():
    if name.startswith(prefix) and name != "layers.0.attn_weights":
        last = array[-1].ravel()
        print(f"{name.removeprefix(prefix):15} {array.dtype!s:8} {last.size:4}  {last[:4]}")

# %% [markdown]
# Read it from top to bottom with the notebooks before: normalize, round, multiply whole numbers, rescale; turn; gather;
# normalize, round, multiply, add. Then the same with the gate.

# %% [markdown]
# And in 2B4T: four numbers of a token in layer 0, as somebody recorded them. What each half makes is added to `h`.

# %%
import json

with open("data/real_2b4t.json", encoding="utf-8") as file:
    real = {name: np.array(numbers[:4]) for name, numbers in json.load(file)["layer_0"].items()}
for name in ("embed", "o", "attn_residual", "down", "ffn_residual"):
    print(f"{name:14} {real[name]}")
real["embed"] + real["o"], real["attn_residual"] + real["down"]

# %% [markdown]
# ## What it looks like: the token on its way
#
# Each block adds to `h`. How large is it, and how much does a block turn it?

# %%
import matplotlib.pyplot as plt

L = model.config.num_hidden_layers
halves = [f"layers.{n}.{half}_residual" for n in range(L) for half in ("attn", "ffn")]
way = [stages[name] for name in ("embed", *halves)]
size = [np.sqrt(np.mean(h[-1] ** 2)) for h in way]
unit = [h[-1] / np.linalg.norm(h[-1]) for h in way]
turn = [np.dot(a, b) for a, b in zip(unit, unit[1:])]

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
steps = np.arange(len(way)) / 2
left.plot(steps, size, "o-", ms=4)
left.set(xlabel="blocks passed", ylabel="size of h")
right.plot(steps[1:], turn, "o-", ms=4)
right.set(xlabel="blocks passed", ylabel="cosine to the half before", ylim=(0, 1.05));

# %% [markdown]
# The first half block turns `h` nearly by a right angle and makes it many times larger: little is left of the embedding. Later halves
# turn it much less.
#
# ## When does it know?
#
# The *head* is the last matrix, which makes logits; here it is the embedding itself. (It has nothing to do with the heads of attention.)
# Ask at every half block: if the head looked at `h` now, what would it say?

# %%
from minibitnet import bf16
from minibitnet.rmsnorm import rms_norm

embedding = bf16.widen(model.lm_head)
for n, h in enumerate(way):
    guess = embedding @ rms_norm(h[-1:], model.norm, model.config.rms_norm_eps)[0]
    best = [tokenizer.decode([int(token)]) for token in np.argsort(-guess)[:4]]
    print(f"after {n / 2:3} blocks: {best}")

# %% [markdown]
# The right word comes late: only when many halves have added to `h` is it among the first. Before, the model names what often follows
# "a" alone.
#
# ## From the last vector to a word

# %%
probs = np.exp(logits[-1] - logits[-1].max())
probs /= probs.sum()
for token in np.argsort(-probs)[:5]:
    word = tokenizer.decode([int(token)])
    print(f"{word!r:10} logit {logits[-1, token]:6.2f}   {probs[token]:.1%}")

# %% [markdown]
# ## What goes wrong otherwise
#
# **A block left out.** Since each block only adds, a model with one missing does not crash. Without a middle block it still speaks; without
# block 0 it does not:

# %%
from dataclasses import replace

from minibitnet.evaluation.score import bits_per_byte

story = "Lily and Tom went to the park with their mom. They saw a big tree with red apples."
print(f"all        {bits_per_byte(model, tokenizer, [story]):.3f} bits per byte")
for n in range(L):
    config = replace(model.config, num_hidden_layers=L - 1)
    fewer = replace(model, config=config, layers=model.layers[:n] + model.layers[n + 1 :])
    new = mb.generate(fewer, tokenizer.encode(story), max_new_tokens=14)
    cost = bits_per_byte(fewer, tokenizer, [story])
    print(f"without {n}  {cost:.3f} {tokenizer.decode(list(new))!r}")

# %% [markdown]
# **The residual taken from behind the norm**: what a block adds is added to `h`, not to the normalized token.

# %%
wrong = stages["layers.0.attn_norm"] + stages["layers.0.o"]
stages["layers.0.attn_residual"][-1, :4], wrong[-1, :4]

# %% [markdown]
# **A head of its own.** In 2B4T the head is the embedding itself (tied); the first release of the file had a copy beside it. Who loads an
# untied head that is not in the file has logits of random numbers.

# %% [markdown]
# ## Exercises
#
# **1.** In which order do these come, inside attention? Give a list of the numbers: 1 the sub-norm, 2 o_proj, 3 the gathering of
# values, 4 the second rounding to 8 bits, `attn_out`.

# %%
from minibitnet.course.model import check_next_token, check_order

answer = ...
check_order(answer)

# %% [markdown]
# **2.** Write what comes behind the last block: from `h` (T, D), the `gain` of the last norm (eps is 1e-5) and the `embedding` (V, D) to the
# most likely next id.

# %%
def next_token(h, gain, embedding):
    return ...


check_next_token(next_token)

# %% [markdown]
# ## Summary
#
# - An id picks a row; every block adds twice to it; the last vector is compared with all rows.
# - Every array has one name: in `trace`, on the page, on the cheat sheet and in the tables of other programs.
# - What only adds can be left out without a crash. So compare numbers, not texts.
#
# **Next:** [notebook 11](11_checkpoint.ipynb), how a file becomes a model. The module of this notebook is
# [model.py](../minibitnet/model.py); the names are in [names.py](../minibitnet/golden/names.py) and on the [cheat sheet](../CHEATSHEET.md).
