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
# # 3. Where does a weight sit in a byte?
#
# **You will be able to** read ternary weights out of the bytes of the real checkpoint; draw the layout; and tell from the
# numbers which other layout somebody took it for.
#
# 25 minutes. Before: [notebook 1](01_absmean.ipynb).
#
# A code is -1, 0 or +1. Two bits hold four values, so a code fits in two bits and a byte holds four codes. The
# question is which four.

# %%
import numpy as np

# %% [markdown]
# ## By hand
#
# Eight rows, one column:

# %%
codes = np.array([-1, 0, 1, 1, -1, -1, 1, 0], np.int8)[:, None]
codes.T

# %% [markdown]
# First, 1 is added, because two bits are easier to read without a sign:

# %%
stored = codes + 1
stored.T

# %% [markdown]
# Then the matrix is cut across into four bands. Eight rows make bands of two:
#
# | band | rows | stored | goes into bits |
# |---|---|---|---|
# | 0 | 0, 1 | 0, 1 | 0-1, the lowest |
# | 1 | 2, 3 | 2, 2 | 2-3 |
# | 2 | 4, 5 | 0, 0 | 4-5 |
# | 3 | 6, 7 | 2, 1 | 6-7 |
#
# The bands are laid one over another. Byte 0 gets the first row of each band, byte 1 the second:

# %%
0 + 2 * 4 + 0 * 16 + 2 * 64, 1 + 2 * 4 + 0 * 16 + 1 * 64

# %% [markdown]
# So the four codes in byte 0 are those of rows 0, 2, 4 and 6: not neighbours. (If four does not divide the rows, the last band is filled
# up, and `rows` says how many there are.)

# %% [markdown]
# ## The same, through the package

# %%
import inspect

from minibitnet.packing import pack, unpack

pack(codes)

# %%
print(inspect.getsource(unpack))

# %%
unpack(pack(codes)).T

# %% [markdown]
# ## What it looks like
#
# A matrix of 8 rows and 6 columns; rows of the same byte have the same colour.

# %%
import matplotlib.pyplot as plt

rng = np.random.default_rng(1)
w_codes = rng.integers(-1, 2, (8, 6), np.int8)
packed = pack(w_codes)
figure, (left, right) = plt.subplots(1, 2, figsize=(8, 3.4), layout="constrained")
left.imshow(np.tile([[0], [1]], (4, 6)), cmap="Pastel1", vmin=0, vmax=8)
for (m, n), code in np.ndenumerate(w_codes):
    left.text(n, m, f"{code:+d}" if code else "0", ha="center", va="center")
left.set(title="codes (8, 6)", ylabel="row", yticks=range(8), xlabel="column")
right.imshow(np.tile([[0], [1]], (1, 6)), cmap="Pastel1", vmin=0, vmax=8)
for (r, n), byte in np.ndenumerate(packed):
    fields = f"{byte:08b}"
    right.text(n, r, "\n".join(fields[i : i + 2] for i in (6, 4, 2, 0)),
               ha="center", va="center", family="monospace", size=9)
right.set(title="bytes (2, 6): bits of band 0, 1, 2, 3", yticks=range(2), xlabel="column")
for axes in (left, right):
    axes.set_xticks(range(6))
for m in (1.5, 3.5, 5.5):
    left.axhline(m, color="k", lw=1)

# %% [markdown]
# ## The real thing
#
# The first sixteen bytes of `model.layers.0.self_attn.q_proj.weight` of BitNet b1.58 2B4T. The matrix has 2560 rows, so a
# band has 640, and byte (0, 0) holds rows 0, 640, 1280 and 1920.

# %%
import json
from pathlib import Path

real = json.loads(Path("data/real_2b4t.json").read_text())["q_proj_layer_0"]
row = np.frombuffer(bytes.fromhex(real["packed_row_0_columns_0_to_15"]), np.uint8)
row

# %%
unpack(row[None])

# %% [markdown]
# The same codes as somebody else unpacked them and published:

# %%
published = np.frombuffer(bytes.fromhex(real["rows_0_640_1280_1920"]), np.int8)
(unpack(row[None]) == published.reshape(4, 16)).all()

# %% [markdown]
# ## What goes wrong otherwise
#
# Each of these was a real bug in somebody's port. All give a matrix of -1, 0 and +1 with the right number of each,
# so nothing crashes and no statistic looks odd. The model says nonsense, as the [cheat sheet](../CHEATSHEET.md) has it.

# %%
def neighbours(packed):
    """The four codes of a byte taken for rows that lie side by side."""
    fields = [(packed >> shift & 3).astype(np.int8) - 1 for shift in (0, 2, 4, 6)]
    return np.stack(fields, axis=1).reshape(-1, packed.shape[1])


def highest_first(packed):
    """The first band read from the highest bits."""
    return np.concatenate([(packed >> s & 3).astype(np.int8) - 1 for s in (6, 4, 2, 0)])


for wrong in (neighbours, highest_first):
    found = wrong(packed)
    counts = [(found == code).sum() for code in (-1, 0, 1)]
    print(f"{wrong.__name__:14} right in {(found == w_codes).mean():.0%}, counts {counts}")
[(w_codes == code).sum() for code in (-1, 0, 1)]

# %% [markdown]
# A code of 3 does not exist. If you meet one, the file is broken, or is none of this layout. Here is one in row 0, column 1:

# %%
from minibitnet.packing import find_unused_code

find_unused_code(np.array([[0b01_01_01_01, 0b00_11_00_10]], np.uint8))

# %% [markdown]
# ## Exercises
#
# **1.** Four rows have the codes +1, 0, +1, -1 in one column. Which byte is that? (A band has one row.)

# %%
from minibitnet.course.packing import check_byte, check_unpack

answer = ...
check_byte(answer)

# %% [markdown]
# **2.** Write `unpack`. The check knows some other layouts by name.

# %%
def unpack_by_hand(packed):
    return ...


check_unpack(unpack_by_hand)

# %% [markdown]
# ## Summary
#
# - `R = ceil(M / 4)`; byte (r, c) holds rows r, R + r, 2R + r, 3R + r of column c, the first in the lowest bits.
# - What is stored is code + 1. 3 is never used.
# - Wrong layouts keep all counts. Only known bytes, or the model's words, tell.
#
# **Next:** [notebook 4](04_matmul.ipynb), multiplying without multiplying. The module is
# [packing.py](../minibitnet/packing.py); the layout is that of transformers' `integrations/bitnet.py`.
