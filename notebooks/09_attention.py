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
# # 9. How does a token gather from the tokens before it?
#
# **You will be able to** compute attention for two tokens by hand; say which heads share what; and explain what a cache keeps, and why
# it may.
#
# 30 minutes. Before: notebooks [5](05_bitlinear.ipynb) and [8](08_rope.ipynb).

# %%
import numpy as np

np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## By hand
#
# Each token makes three vectors: a *query* (what it looks for), a *key* (what it can be found by), a *value* (what it gives). One head
# of two coordinates, three tokens; the third one asks.

# %%
q = np.array([1.0, 0.0])
keys = np.array([[2.0, 0.0], [0.0, 5.0], [2.0, 1.0]])
values = np.array([[10.0, 0.0], [0.0, 10.0], [20.0, 20.0]])

# %% [markdown]
# **Scores**: dot products of the query with each key, divided by the root of the head's length.

# %%
scores = keys @ q / np.sqrt(2)
scores

# %% [markdown]
# **Attention weights**: softmax makes them positive and add up to one. (They have nothing to do with the weights of a matrix.)

# %%
weights = np.exp(scores) / np.exp(scores).sum()
weights, weights.sum()

# %% [markdown]
# **Gather**: the sum of the values, each times its weight.

# %%
weights @ values

# %% [markdown]
# The first and the third key fit equally well; the second does not, so little of its value comes along.

# %% [markdown]
# ## The same, through the package

# %%
import inspect

from minibitnet.attention import attend

print(inspect.getsource(attend))

# %% [markdown]
# It serves T tokens and all their heads; G *groups* of heads come below, and `split` shares them out to threads. Scores, softmax and sums are
# float64, and what is gathered is rounded to float32 once, at the end: the order of adding no longer shows. With one token, one head and one
# group it is the example:

# %%
attend(q[None, None].astype("f4"), keys[None].astype("f4"), values[None].astype("f4"))

# %% [markdown]
# The whole model also stands on one page, [one_page.py](../minibitnet/one_page.py), where nothing is fast and everything is near to the
# formulas. It computes the same numbers. This is how it gathers, one head and one token after another:

# %%
from textwrap import dedent

from minibitnet import one_page

page = inspect.getsource(one_page.forward).splitlines()
start = next(n for n, line in enumerate(page) if "for head in range(H)" in line)
print(dedent("\n".join(page[start : start + 9])))

# %% [markdown]
# ## In 2B4T
#
# The last token of `User: hi<|eot_id|>Assistant: ` asks, in layer 0, head 0: the scores of the eight tokens before they are divided, as
# somebody recorded them, and what the program made of them. Heads have 128 coordinates.

# %%
import json

with open("data/real_2b4t.json", encoding="utf-8") as file:
    real = json.load(file)["layer_0"]
scores = np.array(real["scores_of_head_0"]) / np.sqrt(128)
weights = np.exp(scores) / np.exp(scores).sum()
for token, score, weight, recorded in zip(
    real["tokens"], scores, weights, real["attn_weights_of_head_0"]
):
    print(f"{token!r:20} {score:7.2f} {weight:9.6f} {recorded:9.6f}")

# %% [markdown]
# The same weights. This head looks at the colon, and at little else.

# %% [markdown]
# ## Groups
#
# 2B4T has twenty query heads and five key/value heads: four neighbouring query heads read the same keys and values. That makes the
# cache four times smaller. The built-in model has eight and two:

# %%
import minibitnet as mb

model, tokenizer = mb.load()
H, G = model.config.num_attention_heads, model.config.num_key_value_heads
[h // (H // G) for h in range(H)]

# %% [markdown]
# ## What it looks like

# %%
import matplotlib.pyplot as plt

text = "Tom saw a red ball. Tom wanted the ball"
ids = tokenizer.encode(text)
words = [tokenizer.decode([token]) or "(begin)" for token in ids]
with mb.trace() as stages:
    mb.forward(model, ids)
stages["layers.0.attn_weights"].shape

# %%
figure, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained", sharey=True)
for panel, (L, h) in zip(axes, ((0, 0), (2, 3), (4, 6))):
    panel.imshow(stages[f"layers.{L}.attn_weights"][h], cmap="Blues", vmin=0, vmax=1)
    panel.set(title=f"layer {L}, head {h}", xticks=range(len(ids)))
    panel.set_xticklabels(words, rotation=90)
axes[0].set(yticks=range(len(ids)), yticklabels=words, ylabel="this token gathers from");

# %% [markdown]
# Each row adds up to one. Right of the diagonal all is white: a token does not see what comes after it. Nothing is masked for that; its
# slice of the keys ends at itself. (Other programs compute all scores and then set those of later tokens to minus infinity, a *causal
# mask*. The result is the same.)

# %%
stages["layers.2.attn_weights"][3].sum(axis=1), np.triu(stages["layers.2.attn_weights"][3], 1).max()

# %% [markdown]
# ## The cache
#
# Later tokens change nothing for earlier ones. So keys and values, once computed, are kept, and each new token is computed alone. Reading
# a text whole, in pieces, or token by token gives the same numbers to the last bit:

# %%
cache = mb.KVCache(model.config, capacity=len(ids))
for token in ids:
    logits = mb.forward(model, [token], cache, last=True)
whole = mb.forward(model, ids, last=True)
np.abs(logits - whole).max(), cache.length

# %% [markdown]
# Keys go in turned to their position already (notebook 8), so the cache need not know theirs. How large is it for 2B4T? A
# token leaves a key and a value in each of 30 layers, each of 5 heads of 128 numbers of 4 bytes: 2 × 30 × 5 × 128 × 4 = 153,600 bytes. A
# whole context of 4,096 tokens, in MB:

# %%
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.evaluation.costs import cache_size
from minibitnet.files.published import CONFIG

cache_size(parse_config(CONFIG), tokens=4096) / 1e6

# %% [markdown]
# ## What goes wrong otherwise
#
# **Heads by turns.** `h % G` in place of `h // (H // G)`: the shapes are right, and the model is not. Here is the page with that one
# change, and what a token of a story costs in both, in bits ([notebook 6](06_rmsnorm.ipynb)):

# %%
from minibitnet.evaluation.score import log_softmax
from minibitnet.golden.zoo import find_bug, mutate
from minibitnet.stories import BUILT_IN

story = tokenizer.encode(
    "Lily and Tom went to the park with their mom. They saw a big tree with red apples."
)


def cost(page):
    """Bits per token of the story."""
    logits = page.forward(*page.load(BUILT_IN), story[:-1], [])
    came = [log_softmax(row)[token] for row, token in zip(logits, story[1:])]
    return float(-np.mean(came) / np.log(2))


wrong = mutate(find_bug("modulo-heads"))
round(cost(one_page), 2), round(cost(wrong), 2)

# %% [markdown]
# **The position off by one** when the cache is not empty: tokens stand where their predecessors stood.

# %%
cache = mb.KVCache(model.config, capacity=len(ids))
mb.forward(model, ids[:-1], cache)
cache.length -= 1  # one too few: the last key is overwritten, the position wrong
np.abs(mb.forward(model, ids[-1:], cache, last=True) - whole).max()

# %% [markdown]
# **Exponents of large numbers.** exp(1000) is infinity. Softmax takes the largest score off first, which changes nothing else.

# %%
from minibitnet.attention import softmax

with np.errstate(all="ignore"):
    naive = np.exp(np.float32([1000, 999])) / np.exp(np.float32([1000, 999])).sum()
naive, softmax(np.array([1000.0, 999.0]))

# %% [markdown]
# ## Exercises
#
# **1.** 2B4T has twenty query heads and five key/value heads, counted from 0. Which key/value head does query head 14 read?

# %%
from minibitnet.course.attention import check_gathered, check_head

answer = ...
check_head(answer)

# %% [markdown]
# **2.** Write it for one token: `q` (H, d), `keys` and `values` (G, S, d), to what is gathered, (H, d). A loop over heads is fine. Scores may be
# in the ten thousands.

# %%
def gathered(q, keys, values):
    return ...


check_gathered(gathered)

# %% [markdown]
# ## Summary
#
# - Scores are `q . k / sqrt(d)`, weights their softmax, and the values are summed with these weights, all in float64.
# - Query head h reads key/value head `h // (H // G)`.
# - What is computed for a token never changes, so keys and values are kept.
#
# **Next:** [notebook 10](10_model.ipynb), the whole model. The module of this notebook is
# [attention.py](../minibitnet/attention.py); the papers Vaswani et al., *Attention Is All You Need*, 2017, arXiv 1706.03762, and Ainslie et al., *GQA*,
# 2023, arXiv 2305.13245.
