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
# # 1. How can three values stand for a weight?
#
# **You will be able to** turn a matrix of weights into -1, 0, +1 and one scale by hand; say what is kept and what is
# lost; and recognize three ways to get it wrong.
#
# 20 minutes. You need NumPy; no language models.
#
# A weight is usually a float: 16 or 32 bits. The weights of BitNet b1.58 have three values, which is
# log2(3) = 1.58 bits. How does one get from the one to the other?

# %%
import numpy as np

np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## The words of this course
#
# A *language model* reads a text and says of each possible next piece how likely it is. The pieces, words or parts of words, are
# *tokens*; each has a number, its *id* (notebook 13). A token becomes a row of numbers, 2,560 of them in 2B4T. The row passes
# through *blocks*, 30 of them, which are also called *layers*. A block has two halves: *attention*, in which a token takes something
# from the tokens before it (matrices q, k, v, o; notebook 9), and the *feed-forward*, which works on each token alone (matrices gate,
# up, down; notebook 7). In the end there is one number for each token of the vocabulary, its *logit* (notebook 10).
#
# The numbers in the matrices are *weights*. They were learned once, in *training*, and stay. The numbers that flow are
# *activations*; each text makes its own. To *quantize* is to round to few values: whole numbers, the *codes*, and one *scale* by
# which they are multiplied. *Ternary* means three values. A file of weights is a *checkpoint*; another program that computes the same
# model is a *port*.
#
# *BitNet b1.58 2B4T* is Microsoft's model with two billion weights. The *built-in model* is a small one of the same kind, with six
# blocks, which writes children's stories. You need not remember all this. Come back when a word is new.

# %% [markdown]
# ## By hand
#
# Eight weights, two rows. How large is a typical one? The mean of their absolute values says so.

# %%
W = np.array([[0.9, -0.2, 0.3, -0.7],
              [-1.4, 0.1, 0.6, 0.0]], np.float32)
np.abs(W).sum(), np.abs(W).mean()

# %% [markdown]
# 4.2 / 8 = 0.525. That is the *scale*. In units of the scale the weights are

# %%
W / np.abs(W).mean()

# %% [markdown]
# and now each goes to the nearest of -1, 0 and +1. What is less than half a scale from zero becomes 0; what is beyond
# -1 or 1 is clipped.

# %%
np.clip(np.rint(W / np.abs(W).mean()), -1, 1)

# %% [markdown]
# Compare with `W`: the signs are there, but for the small weights, which are gone. -1.4 and -0.7 have become the same.

# %% [markdown]
# ## The same, through the package

# %%
import inspect

from minibitnet.absmean import quantize_weights

print(inspect.getsource(quantize_weights))

# %%
w_codes, w_scale = quantize_weights(W)
w_codes, w_scale

# %% [markdown]
# The line `weight (M, N) -> w_codes (M, N), w_scale ()` says what goes in and what comes out, by shape: M rows, N columns; `()` is one number.
# The mean is taken in float64 and rounded to float32 once. Floats added in another order round to another sum; in float64 that is far too
# little to show after the rounding, so every machine gets the same scale.
#
# `W` is roughly `w_codes * w_scale`:

# %%
w_codes * w_scale

# %% [markdown]
# Very roughly: -1.4 has become -0.525. A finished model does not survive this. One that learned with it lives with it
# (notebook 16).

# %% [markdown]
# ## What it looks like
#
# Weights of a trained matrix have roughly a normal distribution, the bell curve. Each falls into one of three bins.

# %%
import matplotlib.pyplot as plt

bell = np.random.default_rng(0).standard_normal((400, 400)).astype(np.float32)
codes, gamma = quantize_weights(bell)
figure, axes = plt.subplots(figsize=(7, 2.6))
bins = np.arange(-3, 3.05, 0.05)
for code, color in ((-1, "C0"), (0, "0.7"), (1, "C3")):
    axes.hist(bell[codes == code], bins, color=color, label=f"{code:+d}" if code else "0")
    if code:
        axes.axvline(code * gamma, color="k", ls="--")
axes.set(xlabel="weight (dashed: what -1 and +1 stand for)", yticks=[])
axes.legend(title="code", frameon=False)
figure.tight_layout()

# %% [markdown]
# The borders lie at half a scale on either side. For a normal distribution, this is the share of zeros:

# %%
(codes == 0).mean()

# %% [markdown]
# Real weights have more zeros. Here are their shares among the 2,084,044,800 ternary weights of BitNet b1.58 2B4T, layer by layer, beside
# those of the small model that comes with this package.

# %%
import json
from pathlib import Path

real = json.loads(Path("data/real_2b4t.json").read_text())
zeros_2b4t = np.array(real["zeros_per_layer"]) / real["weights_per_layer"]
zeros_2b4t.mean(), zeros_2b4t.argmax()

# %%
from minibitnet.checkpoint.open import open_checkpoint
from minibitnet.packing import unpack
from minibitnet.stories import BUILT_IN

config, _, tensors = open_checkpoint(BUILT_IN)
zeros_small = [
    np.mean([(unpack(t.array) == 0).mean() for name, t in tensors.items()
             if f"layers.{L}." in name and t.dtype == "U8"])
    for L in range(config.num_hidden_layers)
]

# %%
figure, axes = plt.subplots(figsize=(7, 2.6))
axes.plot(zeros_2b4t, "o-", ms=4, label="BitNet b1.58 2B4T")
axes.plot(zeros_small, "s-", ms=4, label="the built-in model")
axes.axhline((codes == 0).mean(), color="0.5", ls=":", label="normal distribution")
axes.set(xlabel="layer", ylabel="share of zeros", ylim=(0, 0.6))
axes.legend(frameon=False, ncols=3, loc="lower right")
figure.tight_layout()

# %% [markdown]
# Layer 1 of 2B4T is more than half zeros. A zero is not nothing: "this input does not matter here" is what a third value
# says, and a matrix of -1 and +1 alone cannot say it.

# %% [markdown]
# ## What goes wrong otherwise
#
# **The largest weight as scale** (absmax, which is right for activations). One outlier, and nearly all is zero:

# %%
outlier = bell.copy()
outlier[0, 0] = 20
by_maximum = np.clip(np.rint(outlier / np.abs(outlier).max()), -1, 1)
(by_maximum == 0).mean(), (quantize_weights(outlier)[0] == 0).mean()

# %% [markdown]
# **Quantizing twice.** The mean absolute value of codes times scale is smaller than the scale, because the zeros count. Each time the scale shrinks, and
# the codes stay; a converter that quantizes what is ternary already makes a model whose layers are all too quiet.

# %%
again = bell
for _ in range(4):
    codes, scale = quantize_weights(again)
    again = codes * scale
    print(scale)

# %% [markdown]
# **Rounding halves away from zero**, as C's `round` does. NumPy and PyTorch round them to the even neighbour, and training
# did so, too.

# %%
halves = np.array([0.5, 1.5, -0.5])
np.rint(halves), np.sign(halves) * np.floor(np.abs(halves) + 0.5)

# %% [markdown]
# ## Exercises
#
# **1.** What is the scale of this matrix? Do it on paper.
# ```
#  0.2  -1.2
#  0.4  -0.6
# ```

# %%
from minibitnet.course.absmean import check_codes, check_scale

answer = ...
check_scale(answer)

# %% [markdown]
# **2.** Write the function that makes the codes, from `np.abs`, `mean`, `np.rint` and `np.clip`. The check knows some
# mistakes by name; make one on purpose.

# %%
def codes(W):
    return ...


check_codes(codes)

# %% [markdown]
# ## Summary
#
# - The scale is the mean absolute value of the whole matrix. A weight keeps its sign, and whether it counts.
# - `w_codes = clip(round(W / scale), -1, 1)`, halves to the even neighbour; `W ~ w_codes * w_scale`.
# - Codes are made once. Who makes them again makes the scale too small.
#
# **Next:** [notebook 2](02_absmax.ipynb), eight bits for an activation. The module is
# [absmean.py](../minibitnet/absmean.py); the paper Ma et al., *The Era of 1-bit LLMs*, 2024,
# arXiv 2402.17764, section 2. How a model *learns* such weights is in notebook 16.
