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
# # 2. What do eight bits keep of an activation?
#
# **You will be able to** turn a vector into 8-bit codes and a scale by hand; say why every token has a scale of its own;
# and find out how large the error is.
#
# 20 minutes. Before: [notebook 1](01_absmean.ipynb).
#
# Weights are ternary once and for all. *Activations*, the numbers that flow through the model, are made anew for each
# token, and they are rounded too, to whole numbers from -127 to 127. Then every product in the big matrices is one of whole numbers.

# %%
import numpy as np

np.set_printoptions(precision=4, suppress=True)

# %% [markdown]
# ## By hand
#
# One token, four numbers. The largest in absolute value becomes 127 or -127, the others in proportion.

# %%
x = np.array([0.5, -1.0, -0.25, 0.0], np.float32)
x * (127 / np.abs(x).max())

# %% [markdown]
# Round to the nearest. 63.5 lies in the middle; halves go to the even neighbour, 64.

# %%
np.rint(x * (127 / np.abs(x).max()))

# %% [markdown]
# To come back, multiply by the *scale*, max / 127:

# %%
np.rint(x * (127 / np.abs(x).max())) * (np.abs(x).max() / 127)

# %% [markdown]
# ## The same, through the package

# %%
import inspect

from minibitnet.absmax import quantize_activations

print(inspect.getsource(quantize_activations))

# %% [markdown]
# `axis=1` makes it one scale per row, and a row is a token: T tokens of N numbers. Two tokens, the second ten times smaller:

# %%
two = np.stack([x, x / 10])
x_codes, x_scale = quantize_activations(two)
x_codes, x_scale

# %% [markdown]
# The same codes! What differs is the scale. A token's codes do not depend on how loud it is, nor on its neighbours: they
# are the same whether it is computed alone or with others.

# %% [markdown]
# ## What it looks like
#
# A model computes in steps, *stages*, and each has a name. Inside `with mb.trace() as stages:` every array is kept under its name.
# `encode` makes 15 ids of the text: one that marks the beginning, 13 words, the full stop. So here are 15 rows of 256 numbers, those
# that go into attention in layer 0 of the built-in model, and their codes.

# %%
import minibitnet as mb

model, tokenizer = mb.load()
ids = tokenizer.encode("Once upon a time there was a fox who lived in the forest.")
with mb.trace() as stages:
    mb.forward(model, ids)
x, x_codes = stages["layers.0.attn_norm"], stages["layers.0.attn_in.codes"]
x_scale = stages["layers.0.attn_in.scale"]
x.shape, x_codes.dtype

# %%
import matplotlib.pyplot as plt

figure, (left, right) = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
left.plot(x[3], x_codes[3], "o", ms=4)
fine = np.linspace(-0.1, 0.1, 500)
left.plot(fine, np.rint(fine / x_scale[3]), lw=1)
left.set(xlabel="activation (token 3, near zero)", ylabel="code", xlim=(-0.1, 0.1), ylim=(-8, 8))
left.grid(alpha=0.3)
right.bar(range(len(x)), x_scale[:, 0])
right.set(xlabel="token", ylabel="scale", xticks=range(0, len(x), 2));

# %% [markdown]
# How much is lost? The error of a number is at most half the scale of its token; compared with the size of the numbers it is

# %%
error = x - x_codes * x_scale
(np.abs(error) / x_scale).max(), np.sqrt(np.mean(error**2) / np.mean(x**2))

# %% [markdown]
# less than one part in a hundred.

# %% [markdown]
# ## The same activations, further on
#
# Four stages in each layer are rounded to 8 bits: `attn_in` (before q, k, v), `attn_out` (before o), `ffn_in` (before gate, up) and
# `ffn_out` (before down). The last stands behind squared ReLU (notebook 7), where many numbers are 0 or so small beside the largest
# that their code is 0. The shares of zeros, layer by layer:

# %%
for name in ("attn_in", "attn_out", "ffn_in", "ffn_out"):
    zeros = [(stages[f"layers.{L}.{name}.codes"] == 0).mean()
             for L in range(model.config.num_hidden_layers)]
    print(f"{name:9}", np.round(zeros, 2))

# %% [markdown]
# This has a use. Where the code is 0, the column of the matrix that it would be multiplied by need not be read (notebooks 7 and 14).
# What it costs in accuracy, notebook 5 measures.

# %% [markdown]
# ## What goes wrong otherwise
#
# **One scale for all tokens.** The codes of the small token reach only 13, not 127: more than three of its eight bits are lost.

# %%
np.rint(two * (127 / np.abs(two).max()))

# %% [markdown]
# **No floor.** A token of zeros divides by zero; `minibitnet` takes the maximum to be at least 1e-5.

# %%
with np.errstate(all="ignore"):
    zeros = np.zeros((1, 3), np.float32)
    print(np.rint(zeros * (127 / np.abs(zeros).max())))
quantize_activations(zeros)[0]

# %% [markdown]
# **Multiplying where one should divide.** Some programs store 127 / max and divide by it, some store max / 127 and multiply. Both
# are called "scale". Here *a scale always multiplies codes*.

# %%
codes, scale = quantize_activations(two)
codes * scale, codes / scale

# %% [markdown]
# ## Exercises
#
# **1.** The largest number of a token is 2.0. What is the code of -1.7? On paper.

# %%
from minibitnet.course.absmax import check_code, check_codes

answer = ...
check_code(answer)

# %% [markdown]
# **2.** Write the function for a matrix of tokens, one scale per row.

# %%
def codes(x):
    return ...


check_codes(codes)

# %% [markdown]
# ## Summary
#
# - Per token: `scale = max(max|x|, 1e-5) / 127`, `codes = rint(x * (127 / max))`, halves to the even neighbour.
# - A scale multiplies codes: `x ~ codes * scale`.
# - The codes of a token depend on that token alone.
#
# **Next:** [notebook 3](03_packing.ipynb), where a weight sits in a byte. The module is
# [absmax.py](../minibitnet/absmax.py); the paper Ma et al., *BitNet b1.58 2B4T Technical Report*, 2025, arXiv 2504.12285, section 2.
