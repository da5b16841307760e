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
# # 7. What does squaring do to ReLU?
#
# **You will be able to** compute the gated feed-forward by hand; say how many of its numbers are zero, and what for; and recognize the most
# common wrong port of this model, which still speaks fluently.
#
# 20 minutes. Before: [notebook 6](06_rmsnorm.ipynb).

# %%
import numpy as np

np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## By hand
#
# The feed-forward makes two long vectors of a token: *gate* says how much passes, *up* what passes. Squared ReLU is zero for a
# negative number, and the square of a positive one.

# %%
gate = np.array([1.5, -2.0, 0.5, 3.0], np.float32)
up = np.array([2.0, 1.0, -4.0, 0.5], np.float32)

# %% [markdown]
# | gate | ReLU | squared | up | passes |
# |---|---|---|---|---|
# | 1.5 | 1.5 | 2.25 | 2.0 | 4.5 |
# | -2.0 | 0 | 0 | 1.0 | 0 |
# | 0.5 | 0.5 | 0.25 | -4.0 | -1 |
# | 3.0 | 3.0 | 9 | 0.5 | 4.5 |

# %%
np.maximum(gate, 0) ** 2 * up

# %% [markdown]
# ## The same, through the package

# %%
import inspect

from minibitnet.feedforward import feed_forward, relu2, silu

print(inspect.getsource(feed_forward))

# %%
print(inspect.getsource(relu2))

# %%
relu2(gate) * up

# %% [markdown]
# ## What it looks like

# %%
import matplotlib.pyplot as plt

g = np.linspace(-4, 3, 200, dtype=np.float32)
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
axes.plot(g, relu2(g), label="squared ReLU")
axes.plot(g, np.maximum(g, 0), "--", label="ReLU")
axes.plot(g, silu(g), ":", lw=2, label="SiLU")
axes.set(xlabel="gate", ylabel="what up is multiplied by", ylim=(-0.5, 5))
axes.legend(frameon=False)
axes.grid(alpha=0.3)

# %% [markdown]
# SiLU, which most models have here, is g / (1 + exp(-g)). Two things to see. Left of zero squared ReLU is zero, exactly, where SiLU is a little below. And the square makes large numbers
# larger: a few dominate.

# %% [markdown]
# ## How many zeros?

# %%
import minibitnet as mb

model, tokenizer = mb.load()
story = "Lily and Tom went to the park with their mom. They saw a big tree with red apples."
ids = tokenizer.encode(story)
with mb.trace() as stages:
    mb.forward(model, ids)
L = model.config.num_hidden_layers
closed = [(stages[f"layers.{n}.relu2_gate"] == 0).mean() for n in range(L)]
rounded = [(stages[f"layers.{n}.ffn_out.codes"] == 0).mean() for n in range(L)]

# %%
figure, axes = plt.subplots(figsize=(7, 2.6), layout="constrained")
axes.bar(range(L), rounded, color="0.8", label="code is 0 after rounding to 8 bits")
axes.bar(range(L), closed, color="C0", label="gate is closed")
axes.set(xlabel="layer", ylabel="share of zeros", ylim=(0, 1.3))
axes.legend(frameon=False, ncols=2, loc="upper center");

# %% [markdown]
# Training has made most gates negative. Of the others many (grey) are so small beside the largest that eight bits round them to 0. What is 0
# need not be multiplied. These are the shares of columns of `down_proj` that a token needs, on average;
# while a text is written, token by token, the kernel `auto` leaves the others out (notebook 14) if no more than `SPARSE` are needed:

# %%
from minibitnet.kernels.auto import SPARSE

np.round(1 - np.array(rounded), 2), SPARSE

# %% [markdown]
# ## In 2B4T
#
# Somebody has recorded a run of the real model. Here are 64 of the 6,912 numbers of `relu2_gate` in layer 0, for the last token of
# `User: hi<|eot_id|>Assistant: `. How many are zero, and how large is the largest?

# %%
import json

with open("data/real_2b4t.json", encoding="utf-8") as file:
    real = np.array(json.load(file)["layer_0"]["relu2_gate"], np.float32)
with np.errstate(over="ignore"):
    print(np.sum(real == 0), np.abs(real).max(), "as float16:", np.float16(np.abs(real).max()))

# %% [markdown]
# One number is sixty times larger than any other here. float16 ends at 65,504: a port that keeps this stage so has infinities
# in the first layer.

# %% [markdown]
# ## What goes wrong otherwise
#
# **SiLU.** Most models of this shape have it, and a loader that does not read `hidden_act` computes it. Microsoft's own
# C++ runtime does so since the middle of 2026 (microsoft/BitNet, issue 588). Here is the same model with SiLU:

# %%
from dataclasses import replace

wrong = replace(model, config=replace(model.config, hidden_act="silu"))
for name, m in (("squared ReLU", model), ("SiLU", wrong)):
    new = list(mb.generate(m, tokenizer.encode("Once upon a time"), max_new_tokens=40,
                           temperature=0.7, top_p=0.9))
    print(f"{name}: {tokenizer.decode(new)}\n")

# %%
from minibitnet.evaluation.score import bits_per_byte

[round(bits_per_byte(m, tokenizer, [story]), 3) for m in (model, wrong)]

# %% [markdown]
# A larger model hides it better: 2B4T with SiLU writes whole sentences, and only its *perplexity* tells, which is 2 to the power
# of the bits per token: 99.8 on wikitext-2, where it should be 17.1. So look at the stage, not at
# the text:

# %%
with mb.trace() as others:
    mb.forward(wrong, ids)
for name in ("gate", "relu2_gate", "ffn_sub_norm"):
    same = np.array_equal(stages[f"layers.0.{name}"], others[f"layers.0.{name}"])
    print(f"layers.0.{name:13}", "the same" if same else "differs")

# %% [markdown]
# The first stage that differs is the one that is wrong.

# %% [markdown]
# **Gate and up exchanged.** Both have the same shape, so nothing complains.

# %%
relu2(up) * gate, relu2(gate) * up

# %% [markdown]
# ## Exercises
#
# **1.** gate is 2, up is -3. What passes?

# %%
from minibitnet.course.feedforward import check_gated, check_value

answer = ...
check_value(answer)

# %% [markdown]
# **2.** Write it for vectors, with `np.maximum` or `np.where`.

# %%
def gated(gate, up):
    return ...


check_gated(gated)

# %% [markdown]
# ## Summary
#
# - `relu2(gate) * up`: what is negative is closed, what is positive is squared.
# - Most of the result is zero after rounding, and zeros are skipped.
# - With SiLU instead the model still speaks. Compare stages, not sentences.
#
# **Next:** [notebook 8](08_rope.ipynb), how a token knows its position. The module is [feedforward.py](../minibitnet/feedforward.py); the papers So et al.,
# *Primer*, 2021, arXiv 2109.08668, and Shazeer, *GLU Variants Improve Transformer*, 2020, arXiv 2002.05202.
