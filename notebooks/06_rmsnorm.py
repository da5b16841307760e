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
# Divide by it, and the token has size 1, whatever it had before. Then each place is multiplied by a learned *gain*.

# %%
gain = np.array([1, 1, 1, 2], np.float32)
x / 5 * gain

# %% [markdown]
# ## The same, through the package

# %%
import inspect

from minibitnet.rmsnorm import rms_norm

print(inspect.getsource(rms_norm).split('"""')[-1])

# %%
rms_norm(x, gain, eps=1e-5), rms_norm(1000 * x, gain, eps=1e-5)

# %% [markdown]
# A thousand times larger, and the same comes out. `eps` keeps a token of zeros from dividing by zero; it matters to nothing else.

# %% [markdown]
# ## Where they stand
#
# Four norms in a block. Two are where every model of this kind has them, before attention and before the feed-forward. Two are
# BitNet's own, the *sub-norms*: inside, before the last matrix of each.
#
# ```
#  h --+-- RMSNorm -- q, k, v -- attention -- SUB-NORM -- o --(+)--+-- RMSNorm -- gate, up -- relu2 -- SUB-NORM -- down --(+)-- h
#      +------------------------------------------------------ +    +----------------------------------------------------- +
# ```
#
# Before each of the four groups of matrices there is a norm. So what is rounded to 8 bits always has the same size.

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
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
pairs = (("attn_residual", "ffn_norm"), ("attn", "attn_sub_norm"), ("relu2_gate", "ffn_sub_norm"))
for n, (before, after) in enumerate(pairs):
    axes.semilogy(size(before), f"C{n}o-", label=before)
    axes.semilogy(size(after), f"C{n}s:", label=after)
axes.set(xlabel="layer", ylabel="size (root mean square)", xticks=range(6))
figure.legend(loc="outside right upper", frameon=False, fontsize=8);

# %% [markdown]
# What enters a norm (full lines) has the size it happens to have; what leaves it (dotted) is what the gains say.

# %% [markdown]
# ## What goes wrong otherwise
#
# **LayerNorm in its place.** It takes the mean off first. Where the mean is near zero nobody notices for a while.

# %%
centered = x - x.mean()
rms_norm(centered, gain, 1e-5), rms_norm(x, gain, 1e-5)

# %% [markdown]
# **Eps outside the root.** For tokens of ordinary size there is no difference in seven digits; for a small one there is:

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
# And in numbers, bits for each byte of this text (8 would be knowing nothing):

# %%
from minibitnet.training.judge import bits_per_byte

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
# - After a norm a token's size is known, and eight bits suffice.
#
# **Next:** [notebook 7](07_feedforward.ipynb), squared ReLU. The module is [rmsnorm.py](../minibitnet/rmsnorm.py); the
# paper Zhang and Sennrich, *Root Mean Square Layer Normalization*, 2019, arXiv 1910.07467, equation 4.
