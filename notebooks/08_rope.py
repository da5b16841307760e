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
# # 8. How does a token know its position?
#
# **You will be able to** turn a vector to its position by hand; show that a score depends on the distance of two tokens only; and tell
# the two ways of pairing coordinates apart.
#
# 25 minutes. Before: [notebook 5](05_bitlinear.ipynb). A little trigonometry.
#
# In attention each token makes a *query*, which asks, and a *key*, which answers. Both are cut into short vectors, one for each *head*.
# The dot product of a query and a key is their *score*. More in notebook 9; here they are two vectors. A dot product does not know which
# token came first. *Rotary position embedding*
# (RoPE) turns each vector by an angle that grows with its position.

# %%
import numpy as np

np.set_printoptions(precision=4, suppress=True)

# %% [markdown]
# ## By hand
#
# A head of four coordinates has two pairs. Coordinate j belongs with j + 2, half a head further on. Pair 0 turns by 1 radian for each
# token, pair 1 by 0.01. At position 1 the pair (1, 0) goes to (cos 1, sin 1):

# %%
x = np.array([1.0, 1.0, 0.0, 0.0])  # pair 0 is (1, 0), and so is pair 1
np.array([np.cos(1), np.cos(0.01), np.sin(1), np.sin(0.01)])

# %% [markdown]
# ## The same, through the package

# %%
import inspect

from minibitnet.rope import rotate, rotations

print(inspect.getsource(rotate))

# %%
cos, sin = rotations(np.array([1]), head_dim=4, theta=10_000.0)
rotate(x.astype(np.float32)[None, None], cos, sin)

# %% [markdown]
# `theta` says how slow the slowest pair is. Pair j of d/2 turns by `theta ** (-2 * j / d)` radians a token; 2B4T has theta = 500,000
# and d = 128. A full turn of the first and of the last pair takes so many tokens:

# %%
speeds = 500_000.0 ** (-np.arange(0, 128, 2) / 128)
print(f"{2 * np.pi / speeds[0]:.2f} and {2 * np.pi / speeds[-1]:,.0f}")

# %% [markdown]
# ## What it looks like

# %%
import matplotlib.pyplot as plt

positions = np.arange(200)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
cos, sin = rotations(positions, 128, 500_000.0)
for j in (0, 8, 16, 24):
    left.plot(positions[:100], cos[:100, j], label=f"pair {j}")
left.set(xlabel="position", ylabel="cosine of the angle", ylim=(-1.1, 1.6))
left.legend(frameon=False, ncols=4, fontsize=8)

rng = np.random.default_rng(0)
q = np.ones((1, 128), np.float32)
at = rotate(np.tile(q, (200, 1, 1)), cos, sin)[:, 0]
right.plot(positions, at[100] @ at.T)
right.set(xlabel="position of the key", ylabel="score", title="one vector, query at position 100");

# %% [markdown]
# Each pair is a hand of a clock; the first ones are fast and tell neighbours apart, the last ones slow and tell far from near. On the
# right: two equal vectors have the highest score at the same position, and it falls off on both sides.

# %% [markdown]
# ## Only the distance counts
#
# Move query and key by the same number of positions, and the score stays:

# %%
q, k = rng.standard_normal((2, 1, 1, 128)).astype(np.float32)


def score(position_q, position_k):
    (cos_q, sin_q), (cos_k, sin_k) = (
        rotations(np.array([position]), 128, 500_000.0)
        for position in (position_q, position_k)
    )
    return float((rotate(q, cos_q, sin_q) * rotate(k, cos_k, sin_k)).sum())


[round(score(5 + n, 2 + n), 3) for n in (0, 10, 1000)], round(score(2, 5), 3)

# %% [markdown]
# The last one is the other way round: before is not after.

# %% [markdown]
# ## What goes wrong otherwise
#
# **Neighbours for halves.** The paper pairs coordinate 0 with 1, 2 with 3; the checkpoint pairs 0 with d/2. Both are right if the
# rows of the matrix are in that order; mixed, they are wrong from the second token on. At position 0 nothing turns, so a test of one
# token passes!

# %%
def rotate_neighbours(x, cos, sin):
    a, b = x[..., 0::2], x[..., 1::2]
    cos, sin = cos[:, None], sin[:, None]
    return np.stack([a * cos - b * sin, b * cos + a * sin], axis=-1).reshape(x.shape)


vectors = rng.standard_normal((4, 1, 8)).astype(np.float32)
cos, sin = rotations(np.arange(4), 8, 10_000.0)
np.abs(rotate_neighbours(vectors, cos, sin) - rotate(vectors, cos, sin)).max(axis=(1, 2))

# %% [markdown]
# **The other direction.** Every law above still holds: lengths, distances, position 0. Only a number worked by hand tells.

# %%
cos, sin = rotations(np.array([1]), head_dim=4, theta=10_000.0)
rotate(x.astype(np.float32)[None, None], cos, -sin)

# %% [markdown]
# **Another theta.** 2B4T has 500,000, the built-in model and most others 10,000. Give the built-in model 2B4T's. Here is what the tokens of
# a text cost, in bits, by quarters of the text: it is right at first and wrong later.

# %%
from dataclasses import replace

import minibitnet as mb
from minibitnet.evaluation.score import bits

np.set_printoptions(precision=2)
model, tokenizer = mb.load()
wrong = replace(model, config=replace(model.config, rope_theta=500_000.0))
story = ("Lily and Tom went to the park with their mom. They saw a big tree with red apples. "
         "\"Can we have one?\" Tom asked. Mom smiled and said yes. They sat in the sun and ate.")
ids = tokenizer.encode(story)
quarters = [len(ids) * n // 4 for n in (1, 2, 3, 4)]
for m in (model, wrong):
    up_to = [0, *(bits(m, ids[:end]) for end in quarters)]
    print(np.diff(up_to) / np.diff([1, *quarters]))

# %% [markdown]
# ## Exercises
#
# **1.** A pair (1, 2) is turned by a quarter turn, counterclockwise. Where does it go? Give a list of two numbers.

# %%
from minibitnet.course.rope import check_pair, check_turned

answer = ...
check_pair(answer)

# %% [markdown]
# **2.** Write it for one vector: `x` (d,), its position, and theta.

# %%
def turned(x, position, theta):
    return ...


check_turned(turned)

# %% [markdown]
# ## Summary
#
# - Coordinates j and j + d/2 turn together, by `position * theta ** (-2 * j / d)`, counterclockwise.
# - A score then depends on the distance of two tokens, and on nothing else about their positions.
# - Position 0 is not turned: test with two tokens, and with a number worked by hand.
#
# **Next:** [notebook 9](09_attention.ipynb), how a token gathers from those before it. The module of this notebook is [rope.py](../minibitnet/rope.py); the
# paper Su et al., *RoFormer*, 2021, arXiv 2104.09864, section 3.2.
