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
# # 18. In which layout are these bytes?
#
# **You will be able to** unpack the weights of the published GGUF file by hand; say what a bit a weight more or less costs; and find out how bytes
# are packed that nobody has told you of.
#
# 35 minutes. Before: notebooks [3](03_packing.ipynb) and [11](11_checkpoint.ipynb).
#
# Notebook 3 had one layout. There are many: most people's copy of 2B4T is a GGUF file, and it has another one. The codes are the very same.

# %%
import numpy as np

# %% [markdown]
# ## By hand
#
# I2_S, the layout of the published GGUF file, cuts a row into blocks of 128 weights. A block is 32 bytes; byte 0 has the weights 0, 32, 64 and 96 of
# it, byte 1 the weights 1, 33, 65 and 97. The first is in the *highest* two bits. What is stored is code + 1, as before.
#
# | weight | code | stored | goes into bits |
# |---|---|---|---|
# | 0 | +1 | 2 | 7-6, the highest |
# | 32 | -1 | 0 | 5-4 |
# | 64 | 0 | 1 | 3-2 |
# | 96 | +1 | 2 | 1-0 |

# %%
2 * 64 + 0 * 16 + 1 * 4 + 2

# %% [markdown]
# TQ2_0, llama.cpp's layout, has the same four weights in a byte, the first in the *lowest* bits:

# %%
2 + 0 * 4 + 1 * 16 + 2 * 64

# %% [markdown]
# And five weights fit into a byte if one counts: each has three values, and 3 to the fifth is 243, less than 256.

# %%
3**5, 8 / 5, np.log2(3)

# %% [markdown]
# Eight bits for five weights are 1.6 bits a weight. log2(3), 1.585, is the least that three equally frequent values can do with.

# %% [markdown]
# ## The same, through the package

# %%
import inspect

from minibitnet.formats import LAYOUTS, i2_s

w_codes = np.zeros((1, 128), np.int8)
w_codes[0, [0, 32, 64, 96]] = 1, -1, 0, 1
data = i2_s.pack(w_codes, 0.525)
data[:4], len(data)

# %% [markdown]
# 128 weights are 32 bytes. There are 32 more, a tail behind the whole matrix: the scale is in its first four.

# %%
print(inspect.getsource(i2_s.unpack_scale))
i2_s.unpack_scale(data)

# %% [markdown]
# All layouts, and the 16 × 256 matrix that the smallest common shape allows:

# %%
rng = np.random.default_rng(18)
matrix = rng.integers(-1, 2, (16, 256), np.int8)
for name, layout in LAYOUTS.items():
    data = layout.pack(matrix)
    print(f"{name:10} {len(data):5} bytes, {layout.bits_per_weight:.4f} bits a weight  {data[:6]}  {layout.where}")

# %% [markdown]
# ## What it looks like
#
# Which weights are in which byte? Change one, and see which byte is another. The weights of the first eight bytes have a colour each:

# %%
import matplotlib.pyplot as plt

from minibitnet.formats.atlas import byte_of_each

print(inspect.getsource(byte_of_each))
shown = ("packed", "i2_s", "i2_s_rows", "tq1_0", "gpu_int2", "base3")
figure, panels = plt.subplots(len(shown), figsize=(9, 6.5), layout="constrained")
for axes, name in zip(panels, shown):
    places = byte_of_each(LAYOUTS[name], 16, 256)
    axes.imshow(np.where(places < 8, places, np.nan), cmap="tab10", vmin=0, vmax=9, aspect="auto")
    axes.set_title(name, loc="left", size=9)
    axes.set(yticks=(0, 4, 8, 12), xticks=range(0, 257, 32))
    axes.set_facecolor("0.93")
panels[-1].set_xlabel("column");

# %% [markdown]
# The checkpoint takes rows far apart, I2_S columns 32 apart, one of its variants four neighbouring rows, the GPU a tile. [FORMATS.md](../FORMATS.md) has all of them, byte by
# byte.
#
# ## The real thing
#
# The first block of `blk.0.ffn_down.weight` in Microsoft's GGUF file, and its codes as somebody else unpacked them:

# %%
import json
from pathlib import Path

real = json.loads(Path("data/real_2b4t.json").read_text())
block = real["ffn_down_layer_0_gguf"]
row = np.frombuffer(bytes.fromhex(block["first_32_bytes"]), np.uint8)
codes = i2_s.unpack(np.append(row, np.zeros(32, np.uint8)), 1, 128)
published = np.frombuffer(bytes.fromhex(block["first_128_codes"]), np.int8)
(codes == published).all(), codes[0, :16]

# %% [markdown]
# The scale there is the one of the safetensors file before it was rounded to bfloat16:

# %%
np.uint32(block["scale_as_uint32"]).view(np.float32), real["weight_scales"]["down_proj"][0]

# %% [markdown]
# ## What goes wrong otherwise
#
# bitnet.cpp built for ARM reads blocks of 64, and answers `GGGG`. Others took the four codes of a byte for neighbours, or for rows. In the trained matrix `up_proj` of the small
# model, 688 × 256:

# %%
from minibitnet.course.layouts import MATRIX, MYSTERY, M, N

data = i2_s.pack(MATRIX)
readings = {
    "right": i2_s.unpack,
    "blocks of 64": i2_s.unpack_arm,
    "four rows": i2_s.unpack_rows,
}
for name, unpack in readings.items():
    found = unpack(data, M, N)
    counts = [int((found == code).sum()) for code in (-1, 0, 1)]
    print(f"{name:14} right in {(found == MATRIX).mean():4.0%}, counts {counts}")

# %% [markdown]
# All counts are the same. Is there nothing in a matrix that shows that it is mixed up? There is, if it was trained: some inputs and some outputs matter more than
# others. The share of zeros in each row, from the smallest to the largest:

# %%
figure, axes = plt.subplots(figsize=(6, 3), layout="constrained")
for name, unpack in readings.items():
    axes.plot(np.sort((unpack(data, M, N) == 0).mean(axis=1)), label=name)
axes.set(xlabel="row", ylabel="share of zeros")
axes.legend();

# %% [markdown]
# Bytes of one row, read as bytes of four, mix the rows: the curve is flatter. `structure` measures that, in standard deviations from what chance would do, for rows and
# columns, and for signs, too:

# %%
from minibitnet.formats.detect import detect, judge, structure

print(inspect.getsource(structure))
for name, unpack in readings.items():
    print(f"{name:14} {structure(unpack(data, M, N)):6.1f}")

# %% [markdown]
# Blocks of 64 only change the order of whole columns, so no row and no column is another. By the bytes alone that cannot be told, and one should say so:

# %%
judge(detect(data, M, N))

# %% [markdown]
# Something known of the columns in their true order helps: the gains of the norm before a matrix say how loud each of its inputs is, and zeros go along with that, a little. One matrix is not
# enough. A whole file is: all its matrices have one layout. Here are the 36 matrices of the small model whose rows fit blocks of 128, each packed as I2_S and looked at
# without being told so:

# %%
from minibitnet.checkpoint.packedbytes import read_file
from minibitnet.formats.detect import pool
from minibitnet.stories import BUILT_IN

tried = []
for stored in read_file(BUILT_IN).packed:
    [(rows, columns)] = stored.shapes
    if columns % 128 == 0:
        codes = LAYOUTS["packed"].unpack(stored.data, rows, columns)
        tried.append(detect(i2_s.pack(codes), rows, columns, stored.inputs))
len(tried), judge(pool(tried))

# %% [markdown]
# ## Exercises
#
# **1.** The weights 0, 32, 64 and 96 of a block of I2_S are -1, +1, 0 and +1. Which byte is that?

# %%
from minibitnet.course.layouts import check_byte, check_entropy, check_mystery, check_unpack

answer = ...
check_byte(answer)

# %% [markdown]
# **2.** Write `unpack` of I2_S: `data` are the bytes of a matrix of M rows and N columns, N a multiple of 128, with the tail. The check knows what others did.

# %%
def unpack_by_hand(data, M, N):
    return ...


check_unpack(unpack_by_hand)

# %% [markdown]
# **3.** log2(3) bits are enough where -1, 0 and +1 are equally frequent. Where they are not, fewer are: the entropy, `-sum(p * log2(p))` over the shares p. `counts` has how many -1, 0 and
# +1 there are. Write it. (A code that does not occur needs no bits.)

# %%
def entropy(counts):
    return ...


check_entropy(entropy)

# %% [markdown]
# How far from it is 2B4T in two bits? And in base 3?

# %%
weights = real["weights_per_layer"] * 30
counts = np.array([real["minus"], weights - real["minus"] - real["plus"], real["plus"]])
counts / weights

# %% [markdown]
# **4.** `MYSTERY` are the bytes of a matrix of a trained model, M × N. In which layout are they? Answer with its number in `list(LAYOUTS)`, from 0 on.

# %%
number = ...
check_mystery(number)

# %% [markdown]
# ## Summary
#
# - I2_S: blocks of 128 along a row, 32 bytes; byte m has m, m + 32, m + 64, m + 96, the first in the highest bits; the scale behind all.
# - Two bits are simple, 1.6 the densest that is; log2(3) = 1.585 the bound for equally frequent codes.
# - A wrong reading is often valid, and keeps all counts. A trained matrix shows it: its zeros are spread less evenly when read rightly.
# - What only reorders columns needs something known of the columns. What cannot be told should be called so.
#
# **Next:** this was the last. [The cheat sheet](../CHEATSHEET.md) has all layouts and all traps; `minibitnet detect FILE` asks what exercise 4 asks, of any file. The modules are in
# [formats/](../minibitnet/formats), one a layout. And now the model itself, from [config.py](../minibitnet/config.py) to [decode.py](../minibitnet/decode.py): you have met all of it.
