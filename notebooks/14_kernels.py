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
# # 14. Tables and bit planes: how does one add many numbers at once?
#
# **You will be able to** compute a row of a ternary product by looking it up in tables, and by counting ones; say how large a table
# should be; and say which way is quickest for one token and which for a prompt.
#
# 50 minutes. Before: notebooks [3](03_packing.ipynb), [4](04_matmul.ipynb), [5](05_bitlinear.ipynb) and [7](07_feedforward.ipynb).
#
# A *kernel* is a way to compute the ternary product. Notebook 4 adds one activation at a time. The kernels here add seven at a time,
# or one bit of 64, and return the very same integers.

# %%
import numpy as np

np.set_printoptions(precision=2, suppress=True)

# %% [markdown]
# ## By hand
#
# Four activations, two rows of weights, and what must come out:

# %%
x = np.array([5, -3, 2, 7], np.int8)
w = np.array([[1, -1, 0, 1],
              [-1, 0, 1, 1]], np.int8)
w.astype(int) @ x

# %% [markdown]
# **A table.** Cut the columns into *groups* of two. Two weights can be nine things, so a group has nine *partial sums*, whatever the
# rows are. Here are those of 5 and -3, and those of 2 and 7:
#
# | first weight | second -1 | 0 | +1 |   | first weight | second -1 | 0 | +1 |
# |---|---|---|---|---|---|---|---|---|
# | -1 | -2 | -5 | -8 |   | -1 | -9 | -2 | 5 |
# | 0 | 3 | 0 | -3 |   | 0 | -7 | 0 | 7 |
# | +1 | 8 | 5 | 2 |   | +1 | -5 | 2 | 9 |
#
# Number the entries from 0, line by line: the weights a and b want entry 3 (a + 1) + (b + 1), a number of two digits in base 3. Row 0
# begins with +1 and -1, which is entry 6, and goes on with 0 and +1, entry 5. Row 1 wants entries 1 and 8.

# %%
first = [-2, -5, -8, 3, 0, -3, 8, 5, 2]
second = [-9, -2, 5, -7, 0, 7, -5, 2, 9]
first[6] + second[5], first[1] + second[8]

# %% [markdown]
# Two look-ups and one addition a row, for four weights. The tables were more work than that; but a matrix has thousands of rows, and
# all look into the same tables.

# %% [markdown]
# **Bit planes.** Write the activations in two's complement. Four bits will do; they are worth 1, 2, 4 and, the sign, **-8**:
# 5 is 1 + 4, and -3 is 1 + 4 - 8. One bit of all activations is a *plane*. Row 0 is two planes as well: *plus*, where its weight
# is +1, and *minus*, where it is -1.
#
# | worth | plane: 5, -3, 2, 7 | and plus `1001` | ones | and minus `0100` | ones | worth x difference |
# |---|---|---|---|---|---|---|
# | 1 | `1101` | `1001` | 2 | `0100` | 1 | 1 |
# | 2 | `0011` | `0001` | 1 | `0000` | 0 | 2 |
# | 4 | `1101` | `1001` | 2 | `0100` | 1 | 4 |
# | -8 | `0100` | `0000` | 0 | `0100` | 1 | 8 |
#
# One AND leaves the ones that this row adds, and counting them adds them up.

# %%
1 + 2 + 4 + 8

# %% [markdown]
# ## The same, through the package
#
# `ways(n)` is all that n weights can be, in the order of their base-3 numbers. A product with it is a table.

# %%
import inspect

from minibitnet.kernels import lookup, popcount
from minibitnet.packing import pack

lookup.ways(2)

# %%
x[:2] @ lookup.ways(2), x[2:] @ lookup.ways(2)

# %% [markdown]
# The package takes groups of seven, so a table has 3**7 = 2187 entries. `lay_out` turns the packed matrix into indices, once, when the
# model is loaded. Seven codes, each plus 1, are the digits; missing columns count as 0:

# %%
indices = lookup.lay_out([pack(w)], [2])
indices.shape, [np.base_repr(index, 3).zfill(7) for index in indices[0, 0]]

# %% [markdown]
# Why the shape? Fast in NumPy means few and long calls. So 27 tables lie end to end, a *chunk*, and the index says which table as
# well, 2187 * table + number: three more digits, and ten of them just fit into 16 bits. One `take` then looks up 27 groups for all
# rows. Row 0, its first three groups; the last two have no columns, so seven zeros, and 1111111 in base 3 is 1093:

# %%
3**10, 2**16, indices[0, :3, 0] - [0, 2187, 4374]

# %% [markdown]
# The table itself is made by adding, too: `high` has the 9 sums of the first two activations, `low` the 243 of the other five, and
# each entry is one of these plus one of those.

# %%
print(inspect.getsource(lookup._look_up))

# %%
lookup.lookup_matmul(x[None], indices)

# %% [markdown]
# Bit planes, 64 columns to a word of the machine. Plus and minus of row 0, and what the eight planes of the activations are worth:

# %%
planes = popcount.lay_out(pack(w))
[f"{word:04b}" for word in planes[:, 0, 0]], popcount.BITS

# %% [markdown]
# The first column is the lowest bit, so words are read from the right: `0010` is a -1 in the second column. Eight planes with plus and
# eight with minus are sixteen ANDs and sixteen counts for 64 weights. It is how hardware for few bits is built.

# %%
print(inspect.getsource(popcount._count))

# %%
popcount.popcount_matmul(x[None], planes)[:, :2]

# %% [markdown]
# ## In a real model
#
# `gate` and `up` of the first layer, with the codes of six tokens, by every kernel, beside the `acc` that the model computed:

# %%
import minibitnet as mb
from minibitnet.kernels import KERNELS

model, tokenizer = mb.load()
with mb.trace() as stages:
    mb.forward(model, tokenizer.encode("The fox saw the cheese"))
x_codes = stages["layers.0.ffn_in.codes"]
layer = model.layers[0].mlp.gate_up_proj
for kernel, prepare in KERNELS.items():
    gate, up = prepare(layer.packed, layer.rows)(x_codes)
    same = (np.array_equal(gate, stages["layers.0.gate.acc"]),
            np.array_equal(up, stages["layers.0.up.acc"]))
    print(f"{kernel:9}", gate.dtype, gate.shape, same)

# %% [markdown]
# ## What it looks like: a table and who looks where
#
# Three activations, 5, -3 and 2. Grey on the left is what the first weight makes of 5, grey on top what the other two make of -3 and 2;
# each other cell is the sum of its two. Five rows look here, and two of them, which agree, at the same entry.

# %%
import matplotlib.pyplot as plt

from matplotlib.colors import ListedColormap

group = np.array([[1, -1, 0], [-1, 0, 1], [0, 1, 1], [0, 1, 1], [1, 1, -1]])  # five rows
numbers = (group + 1) @ [9, 3, 1]
high, low = x[:1] @ lookup.ways(1), x[1:3] @ lookup.ways(2)
values = np.block([[np.zeros((1, 1)), low[None]], [high[:, None], np.add.outer(high, low)]])
shades = np.ones((4, 10))
shades[1:, 1:] = 2 * np.isin(np.arange(27), numbers).reshape(3, 9)

figure, axes = plt.subplots(figsize=(8, 2.9), layout="constrained")
colours = ListedColormap(["white", "0.88", "moccasin"])
axes.pcolormesh(shades, cmap=colours, edgecolors="0.6", lw=0.5)
for (i, j), value in np.ndenumerate(values):
    if i or j:
        axes.text(j + 0.5, i + 0.4, f"{value:.0f}", ha="center", va="center")
for number in set(numbers):
    who = "row " + ", ".join(map(str, np.flatnonzero(numbers == number)))
    axes.text(number % 9 + 1.5, number // 9 + 1.78, who, ha="center", va="center", size=9)
signs = ["-1", "0", "+1"]
axes.set(yticks=[1.5, 2.5, 3.5], yticklabels=signs, ylabel="first weight",
         xticks=np.arange(9) + 1.5, xticklabels=[f"{b} {c}" for b in signs for c in signs],
         xlabel="second and third weight")
axes.invert_yaxis();

# %% [markdown]
# ## How large should a group be?
#
# A group of g columns takes about 3**g additions for its table and then one for each of M rows, and stands for g * M weights. So a
# weight takes (3**g / M + 1) / g additions. The number of columns cancels out.

# %%
from minibitnet.evaluation.costs import SHARES


def additions(g, M):
    return (3.0**g / M + 1) / g


sizes = np.arange(1, 11)
matrices = {"k alone": 640, "down": 2560, "q, k, v joined": 3840, "gate, up joined": 13824}
figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
for (name, M), mark in zip(matrices.items(), "osD^"):
    each = additions(sizes, M)
    [line] = axes.plot(sizes, each, label=f"{name}: {M} rows")
    axes.plot(sizes[each.argmin()], each.min(), mark, color=line.get_color())
axes.axhline(sum(SHARES), color="k", ls=":", label="by masks")
axes.set(xlabel="weights in a group, g", ylabel="additions per weight", ylim=(0, 0.75),
         xticks=sizes)
axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5));

# %%
{name: int(sizes[additions(sizes, M).argmin()]) for name, M in matrices.items()}

# %% [markdown]
# Left of the mark rows add too often; right of it tables grow threefold with each weight. The more rows, the larger a table they pay
# for: that is why matrices that read the same input are joined. A look-up itself was not counted. It costs more than an addition, as
# the next section shows, and that speaks for larger groups: the package takes seven everywhere. One token of 2B4T, by masks and by
# tables:

# %%
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.evaluation.costs import count_look_ups, count_ternary
from minibitnet.files.published import CONFIG

print(count_ternary(parse_config(CONFIG), *SHARES))
print(count_look_ups(parse_config(CONFIG)))

# %% [markdown]
# ## How long it takes here
#
# Random weights in the size of `o_proj` of 2B4T, 2560 x 2560, on one core: milliseconds **per token** when 1, 4 or 64 tokens come at
# once.

# %%
import time

from minibitnet.kernels.threads import use_threads


def clock(work, rounds=5):
    """Milliseconds, the quickest of some rounds."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return 1000 * min(seconds)


rng = np.random.default_rng(0)
plus, minus = SHARES
w_codes = rng.choice(np.array([-1, 0, 1], np.int8), (2560, 2560), p=[minus, 1 - plus - minus, plus])
tokens = rng.integers(-127, 128, (64, 2560)).astype(np.int8)
print("tokens           1        4       64")
for kernel in ("masks", "popcount", "lookup", "blas", "auto"):
    multiply = KERNELS[kernel]([pack(w_codes)], [2560])
    with use_threads(1):
        each = [clock(lambda: multiply(tokens[:T]), 5 if T < 64 else 1) / T for T in (1, 4, 64)]
    print(f"{kernel:9}", *(f"{ms:8.2f}" for ms in each))

# %% [markdown]
# Tables and planes belong to one token: each token needs its own, so the time per token stays. The kernel `blas` unpacks the weights to
# float32 and hands them to BLAS, NumPy's tuned library. Unpacking is done once for all tokens that come together, as making masks is,
# so the time per token falls. Tables are for *decode*, one token a step; BLAS is for *prefill*, the whole prompt at once.
#
# Where does the time of the tables go? The three steps of `_look_up`, each alone, in milliseconds, and in nanoseconds per entry:

# %%
indices = lookup.lay_out([pack(w_codes)], [2560])
chunks = len(indices)
high = rng.integers(-254, 255, (chunks, lookup.CHUNK, 9, 1)).astype(np.int16)
low = rng.integers(-635, 636, (chunks, lookup.CHUNK, 1, 243)).astype(np.int16)
tables = np.empty((chunks, lookup.CHUNK, 9, 243), np.int16)
picked = np.empty(indices.shape, np.int16)
steps = {
    "make tables": (tables, lambda n: np.add(high[n], low[n], out=tables[n])),
    "look up": (
        picked,
        lambda n: tables[n].reshape(-1).take(indices[n], out=picked[n], mode="wrap"),
    ),
    "add": (picked, lambda n: np.add.reduce(picked[n], axis=0, dtype=np.int16)),
}
for name, (array, step) in steps.items():
    ms = clock(lambda: [step(n) for n in range(chunks)])
    print(f"{name:12} {ms:6.2f} ms {1e6 * ms / array.size:6.2f} ns")

# %% [markdown]
# The look-up, a *gather*, is the bottleneck. What is to be added lies side by side in memory, and one instruction adds many of these. A
# gather goes one by one: read an index, widen it to 64 bits, read the entry, write it. NumPy has nothing faster.

# %% [markdown]
# ## What C does instead
#
# C can call an instruction that NumPy does not have: `pshufb` on x86, `tbl` on ARM. A register of 16 bytes is a table of 16 entries, and
# one instruction looks up 16 indices in it. So a table should have at most 16 entries:
#
# | | an index stands for | entries |
# |---|---|---|
# | TL1 of bitnet.cpp | two ternary weights | 9 |
# | TL2 of bitnet.cpp | three, without the sign of the whole, which is one more bit | 14 |
# | T-MAC | one bit of four weights; weights of n bits take n look-ups | 16 |
#
# A partial sum needs more than eight bits. So TL1 keeps two tables, of low and of high bytes, looks up in both, and puts the
# bytes together again. Here is the group 100, -120 for 16 rows:

# %%
table = np.zeros(16, np.int16)
table[:9] = np.array([100, -120], np.int16) @ lookup.ways(2).astype(np.int16)
low_bytes, high_bytes = table.astype("<i2").view(np.uint8).reshape(16, 2).T
index = (rng.integers(-1, 2, (16, 2)) + 1) @ [3, 1]
found = np.stack([low_bytes[index], high_bytes[index]], axis=1)  # two instructions in C
found = found.view("<i2").ravel()
index, found, np.array_equal(found, table[index])

# %% [markdown]
# Two instructions look up 16 rows, 32 weights, and the table lies in a register. In NumPy, where a look-up is slow whatever the table,
# one look-up should stand for many weights. A chunk of tables has this many bytes, far too many for registers, few enough for a core's
# own cache:

# %%
lookup.CHUNK * lookup.TABLE * 2

# %% [markdown]
# ## Why `auto` changes over

# %%
from minibitnet.kernels import auto

print(inspect.getsource(auto.choose))
print(inspect.getsource(auto.prepare))

# %% [markdown]
# More than `FEW` tokens go to BLAS, others to the tables, with one exception. Behind squared ReLU ([notebook 7](07_feedforward.ipynb))
# most codes are 0, and a column whose activation is 0 adds nothing. Where the share of the others is at most `SPARSE`, `auto` unpacks
# only their columns, for BLAS. The shares in our model, last token, layer by layer:

# %%
print("FEW", auto.FEW, " SPARSE", auto.SPARSE)
np.array([(stages[f"layers.{L}.ffn_out.codes"][-1] != 0).mean() for L in range(6)])

# %% [markdown]
# Tables gain less from zeros: one can be left out only if all seven of its activations are 0. If nine in ten are, that happens to
# less than half of the tables:

# %%
0.9**7

# %% [markdown]
# One token through random weights in the size of `down_proj`, 2560 x 6912, in milliseconds:

# %%
down = [pack(rng.integers(-1, 2, (2560, 6912), np.int8))]
by_kernel = {name: KERNELS[name](down, [2560]) for name in ("lookup", "blas", "auto")}
print("share that is not 0", *(f"{kernel:>6}" for kernel in by_kernel))
for share in (1, 0.5, 0.15, 0.05):
    token = np.where(rng.random((1, 6912)) < share, rng.integers(1, 128, 6912), 0).astype(np.int8)
    with use_threads(1):
        each = [clock(lambda: multiply(token)) for multiply in by_kernel.values()]
    print(f"{share:19}", *(f"{ms:6.2f}" for ms in each))

# %% [markdown]
# ## What goes wrong otherwise
#
# **Digits in another order.** The first weight is the highest digit. Read as the lowest, it finds another entry of the right
# table:

# %%
def by_tables(worth):
    return np.array(first)[(w[:, :2] + 1) @ worth] + np.array(second)[(w[:, 2:] + 1) @ worth]


by_tables([3, 1]), by_tables([1, 3])

# %% [markdown]
# **Sums kept too narrow.** Within a chunk int16 is enough, across two it is not:

# %%
lookup.CHUNK * lookup.GROUP * 128, 2 * lookup.CHUNK * lookup.GROUP * 128, np.iinfo(np.int16).max

# %% [markdown]
# Random codes do not show it. Codes that agree with one row make that row large; it is wrong, and all others are right. bitnet.cpp had
# an overflow of 16 bits in its code for older ARM processors (issue 411 of microsoft/BitNet).

# %%
multiply = KERNELS["lookup"]([pack(w_codes)], [2560])
for codes in (tokens[0], 127 * w_codes[0]):
    [[right]] = multiply(codes[None])
    narrow = (codes * w_codes).sum(axis=1, dtype=np.int16)
    print("largest sum", np.abs(right).max(), " wrong rows", np.flatnonzero(narrow != right))

# %% [markdown]
# **The sign plane counted as +128.** Then -3 is taken for 253. Positive activations do not show it.

# %%
def by_planes(x_codes, worth):
    bits = x_codes[:, None] >> np.arange(8) & 1  # column by column, lowest bit first
    return w @ bits @ worth


unsigned = [1, 2, 4, 8, 16, 32, 64, 128]
for codes in (x, np.abs(x)):
    print(by_planes(codes, popcount.BITS), by_planes(codes, unsigned))

# %% [markdown]
# **The tail forgotten.** Neither 2560 nor 6912 is a multiple of 7. Without the columns left over most rows are off, each by little
# beside the spread of the sums. The package fills the last chunk up with zeros.

# %%
whole = 2560 // 7 * 7
[right] = multiply(tokens[:1])
[short] = KERNELS["lookup"]([pack(w_codes[:, :whole])], [2560])(tokens[:1, :whole])
print("left over:", 2560 % 7, "of 2560,", 6912 % 7, "of 6912")
print(f"wrong rows: {(short != right).mean():.1%}, by at most {np.abs(short - right).max()};",
      f"spread of the sums: {right.std():.0f}")

# %% [markdown]
# ## Exercises
#
# **1.** A row has 2560 weights, a group seven. How many look-ups does the row need?

# %%
from minibitnet.course.kernels import check_dot, check_look_ups, check_table

answer = ...
check_look_ups(answer)

# %% [markdown]
# **2.** Write the table: from the `x_codes` (g,) of a group to its 3**g partial sums, in the order of the package.

# %%
def table(x_codes):
    return ...


check_table(table)

# %% [markdown]
# **3.** Write the sum of one row from planes: `x_planes` (8, W), where plane b holds bit b of all activations, and the `plus` and
# `minus` (W,) of the row, all uint64. `np.bitwise_count` counts ones.

# %%
def dot(x_planes, plus, minus):
    return ...


check_dot(dot)

# %% [markdown]
# ## Summary
#
# - Tables: all partial sums of a group, computed once for a token; each row looks its own up and adds. Seven weights to a look-up.
# - Bit planes: AND and counting ones, 64 columns to a word; the sign plane counts as -128.
# - All kernels return the same integers. `auto` takes tables for a few tokens, BLAS for more, and where most activations are 0, BLAS
#   on the others.
# - In C a table lies in a register and an instruction looks up 16 indices. NumPy looks up one by one, so its tables are large.
#
# **Next:** [notebook 15](15_costs.ipynb) counts bytes, operations and joules. The modules are
# [lookup.py](../minibitnet/kernels/lookup.py), [popcount.py](../minibitnet/kernels/popcount.py),
# [blas.py](../minibitnet/kernels/blas.py) and [auto.py](../minibitnet/kernels/auto.py); the papers Wei et al.,
# *T-MAC*, 2024, arXiv 2407.00088, and Wang et al., *Bitnet.cpp*, 2025, arXiv 2502.11880, section 3.
