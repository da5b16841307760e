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
# # 6. Why is every token brought to the same size?
#
# **You will be able to** compute RMSNorm by hand; say where the four norms of a block stand; and tell RMSNorm from its relatives by
# their numbers.
#
# 20 minutes. Before: [notebook 5](05_bitlinear.ipynb).

# %%
import numpy as np

np.set_printoptions(precision=4, suppress=True)

# %% [markdown]
# ## By hand
#
# A token of four numbers. How large is it? The root of the mean of the squares, *root mean square*:

# %%
x = np.array([[1.0, 7.0, 5.0, 5.0]], np.float32)
(1 + 49 + 25 + 25) / 4, np.sqrt((1 + 49 + 25 + 25) / 4)

# %% [markdown]
# Divide by it, and the token has size 1, whatever it had before. Then each coordinate is multiplied by a learned *gain*.

# %%
gain = np.array([1, 1, 1, 2], np.float32)
x / 5 * gain

# %% [markdown]
# ## The same, through the package

# %%
import inspect

from minibitnet.rmsnorm import rms_norm

print(inspect.getsource(rms_norm))

# %%
rms_norm(x, gain, eps=1e-5), rms_norm(1000 * x, gain, eps=1e-5)

# %% [markdown]
# The mean of the squares is the only sum here, so it is the only line in float64; the root is rounded to float32, and all else is float32.
# (In [notebook 5](05_bitlinear.ipynb) nothing of the kind was needed: whole numbers do not round.)
#
# A thousand times larger, and the same comes out. `eps` keeps a token of zeros from dividing by zero; only tokens whose mean square is
# not large beside it feel it.

# %% [markdown]
# ## Where they stand
#
# Four norms in a block. Two are where every model of this kind has them, before attention and before the feed-forward. Two are
# BitNet's own, the *sub-norms*: inside, before the last matrix of each.
#
# ```
#  h --+-- RMSNorm ---- q, k, v -- attention -- SUB-NORM ------- o --(+)-- h
#      |   attn_norm               attn         attn_sub_norm         |
#      +--------------------------------------------------------------+
#
#  h --+-- RMSNorm ---- gate, up -- relu2 ----- SUB-NORM ---- down --(+)-- h
#      |   ffn_norm                 relu2_gate  ffn_sub_norm          |
#      +--------------------------------------------------------------+
# ```
#
# `h` is the token on its way, and (+) adds to it what the half block has made. So before each of the four groups of matrices there is
# a norm. Rounding to 8 bits alone would not need it: a token's codes are the same at any size (notebook 2). But the size comes back
# with the scale and goes on into what follows. `h` grows from block to block, and softmax and squared ReLU do something else to large
# numbers than to small ones. Behind a norm they meet one size, which the gains set.

# %% [markdown]
# ## What it looks like

# %%
import matplotlib.pyplot as plt

import minibitnet as mb

model, tokenizer = mb.load()
ids = tokenizer.encode("Once upon a time there was a fox who lived in the forest.")
with mb.trace() as stages:
    mb.forward(model, ids)


def size(name):
    """Root mean square of a stage, by layer."""
    layers = range(model.config.num_hidden_layers)
    return [np.sqrt(np.mean(stages[f"layers.{L}.{name}"] ** 2)) for L in layers]


# %%
figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
h = [np.sqrt(np.mean(stages["embed"] ** 2)), *size("ffn_residual")[:-1]]
pairs = {
    "attn_norm": ("h", h),
    "attn_sub_norm": ("attn", size("attn")),
    "ffn_norm": ("attn_residual: h, half a block on", size("attn_residual")),
    "ffn_sub_norm": ("relu2_gate", size("relu2_gate")),
}
for n, (after, (before, sizes)) in enumerate(pairs.items()):
    axes.semilogy(sizes, f"C{n}o-", label=before)
    axes.semilogy(size(after), f"C{n}s:", label=after)
axes.set(xlabel="layer", ylabel="size (root mean square)", xticks=range(6))
figure.legend(loc="outside right upper", frameon=False, fontsize=8);

# %% [markdown]
# What enters a norm (full lines) has the size it happens to have; what leaves it (dotted) is what the gains say.

# %% [markdown]
# ## What goes wrong otherwise
#
# **LayerNorm instead.** It takes the mean off first. Where the mean is near zero nobody notices for a while.

# %%
centered = x - x.mean()
rms_norm(centered, gain, 1e-5), rms_norm(x, gain, 1e-5)

# %% [markdown]
# **Eps outside the root.** For a token of ordinary size the first five digits agree; for a small one they do not:

# %%
small = x / 1000
small / (np.sqrt(np.mean(small**2)) + 1e-5) * gain, rms_norm(small, gain, 1e-5)

# %% [markdown]
# **No sub-norms.** A loader for Llama does not know them, and passes over two arrays in each layer. What does a model of 2B4T's kind
# say then?

# %%
from dataclasses import replace


def without_sub_norms(block):
    return replace(
        block,
        self_attn=replace(block.self_attn, attn_sub_norm=None),
        mlp=replace(block.mlp, ffn_sub_norm=None),
    )


wrong = replace(model, layers=tuple(map(without_sub_norms, model.layers)))
story = "Lily and Tom went to the park with their mom. They saw a big tree with red apples."
for name, m in (("right", model), ("without", wrong)):
    new = list(mb.generate(m, tokenizer.encode(story), max_new_tokens=30))
    print(f"{name}: {tokenizer.decode(new)}\n")

# %% [markdown]
# And in numbers. A model gives the token that really comes next a probability p. The token then costs log2(1/p) bits: 0 if the
# model was sure, 1 if it was the toss of a coin. The costs of all tokens, divided by the bytes of the text, are *bits per byte*. Less is
# better; 8 would be knowing nothing, as a byte has 256 values.

# %%
from minibitnet.evaluation.score import bits_per_byte

[round(bits_per_byte(m, tokenizer, [story]), 3) for m in (model, wrong)]

# %% [markdown]
# ## Exercises
#
# **1.** What is the size of the token 1, -1, 3, 5?

# %%
from minibitnet.course.rmsnorm import check_norm, check_size

answer = ...
check_size(answer)

# %% [markdown]
# **2.** Write the norm: `x` (T, N), `gain` (N,), `eps`.

# %%
def norm(x, gain, eps):
    return ...


check_norm(norm)

# %% [markdown]
# ## Summary
#
# - `x / sqrt(mean(x**2) + eps) * gain`, for each token by itself. No mean is taken off.
# - Four in a block: before q, k, v; before o (sub-norm); before gate, up; before down (sub-norm).
# - Behind a norm the size of a token is what the gains say, however large `h` has grown.
#
# **Next:** [notebook 7](07_feedforward.ipynb), squared ReLU. The module is [rmsnorm.py](../minibitnet/rmsnorm.py); the
# paper Zhang and Sennrich, *Root Mean Square Layer Normalization*, 2019, arXiv 1910.07467, equation 4.
