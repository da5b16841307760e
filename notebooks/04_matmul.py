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
# # 4. How does one multiply without multiplying?
#
# **You will be able to** compute a product of a ternary matrix by adding and subtracting; count the operations; and say why any
# order of adding gives the very same number, even in floats.
#
# 25 minutes. Before: notebooks [1](01_absmean.ipynb) and [2](02_absmax.ipynb).

# %%
import numpy as np

# %% [markdown]
# ## By hand
#
# Four activations, two rows of weights:

# %%
x = np.array([7, -2, 5, 100], np.int8)
w = np.array([[1, 0, -1, 1],
              [0, 1, 1, 0]], np.int8)

# %% [markdown]
# Row 0 adds 7 and 100 and subtracts 5; the -2 is skipped. Row 1 adds -2 and 5.

# %%
7 - 5 + 100, -2 + 5

# %% [markdown]
# An ordinary product multiplies by 1, 0 and -1 and comes to the same:

# %%
w.astype(int) @ x

# %% [markdown]
# ## The same, through the package
#
# A row of weights is two *masks*: which activations to add, and which to subtract. `row == +1` is the one, `row == -1` the other.

# %%
import inspect

from minibitnet.matmul import ternary_matmul

print(inspect.getsource(ternary_matmul))

# %%
ternary_matmul(x[None], w)

# %% [markdown]
# ## Counting
#
# Let the numbers count for themselves: a whole number that notes what is done to it.

# %%
from collections import Counter

done = Counter()


class Counted(int):
    def __add__(self, other):
        done["adds"] += 1
        return Counted(int(self) + int(other))

    __radd__ = __add__

    def __sub__(self, other):
        done["subtracts"] += 1
        return Counted(int(self) - int(other))

    def __mul__(self, other):
        done["multiplies"] += 1
        return Counted(int(self) * int(other))


# %%
def by_masks(x, row):
    total = Counted(0)
    for activation, weight in zip(x, row):
        if weight == 1:
            total = total + activation
        if weight == -1:
            total = total - activation
    return total


def ordinary(x, row):
    return sum((activation * int(weight) for activation, weight in zip(x, row)), Counted(0))


# %% [markdown]
# A row of 2,560 weights with the shares of 2B4T:

# %%
rng = np.random.default_rng(0)
long_x = [Counted(v) for v in rng.integers(-127, 128, 2560)]
long_w = rng.choice([-1, 0, 1], 2560, p=[0.289, 0.422, 0.289])
for way in (ordinary, by_masks):
    done.clear()
    print(f"{way.__name__:9} {way(long_x, long_w):6}  {dict(done)}")

# %% [markdown]
# No multiplications, and two in five additions fewer. For one token and all ternary matrices of the model (the look-ups are for
# notebook 14):

# %%
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.evaluation.costs import SHARES, count_ternary
from minibitnet.files.published import CONFIG

count_ternary(parse_config(CONFIG), *SHARES)

# %% [markdown]
# On a chip an addition of 8-bit numbers takes about a seventieth of the energy of a multiplication and addition of 16-bit ones
# (notebook 15). NumPy on a CPU gains nothing by that: there, reading the bytes takes the time.

# %% [markdown]
# ## How large can it get?
#
# A code is at most 127 here (an int8 could be -128), so a sum of N of them is at most 127 N. int8 overflows at the second, int16 at the
# 259th, int32 never does here. (The int8 line runs round and round between -128 and 127, too small to see at this height.)

# %%
import matplotlib.pyplot as plt

walk = np.cumsum(np.full(400, 127))
figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
axes.plot(walk, "k", lw=1, label="int32")
axes.plot(np.cumsum(np.full(400, 127), dtype=np.int16), label="int16")
axes.plot(np.cumsum(np.full(400, 127), dtype=np.int8), label="int8")
axes.set(xlabel="activations of 127, added up", ylabel="sum")
axes.legend(frameon=False);

# %% [markdown]
# ## Why floats give the very same
#
# Floats round. But float32 has 24 bits for a number, and holds every whole number up to 2**24 = 16,777,216 exactly. The
# widest matrix of 2B4T sums 6,912 products of at most 128:

# %%
128 * 6912, 2**24, 128 * 6912 < 2**24

# %% [markdown]
# As long as every partial sum is below that, no addition rounds, so the order makes no difference, and a float32 product by a fast
# library is *exact*. Just above 2**24 it would not be:

# %%
np.float32(2**24) + np.float32(1) == np.float32(2**24)

# %%
x_codes = rng.integers(-127, 128, (3, 6912)).astype(np.int8)
w_codes = rng.integers(-1, 2, (64, 6912)).astype(np.int8)
by_floats = x_codes.astype(np.float32) @ w_codes.astype(np.float32).T
(by_floats == ternary_matmul(x_codes, w_codes)).all()

# %% [markdown]
# So there is one right product, to the last bit. A *kernel* is one way to compute it; notebook 14 explains them. It takes packed matrices and their
# numbers of rows and makes a function that multiplies by them. Every kernel of this package returns the same, whatever it does inside:

# %%
from minibitnet.kernels import KERNELS
from minibitnet.packing import pack

for name, prepare in KERNELS.items():
    [acc] = prepare([pack(w_codes)], [64])(x_codes)
    print(f"{name:9}", (acc == by_floats).all(), acc.dtype)

# %% [markdown]
# ## What goes wrong otherwise
#
# **Sums of int8.** NumPy adds int8 to int8 in int8, without a word:

# %%
large = np.array([[100, 120, -7, 5]], np.int8)
large @ np.array([[1, 1, -1, 0]], np.int8).T, ternary_matmul(
    large, np.array([[1, 1, -1, 0]], np.int8)
)

# %% [markdown]
# **Integers that leave as float64.** `int32 * float32` is float64 in NumPy; the numbers after it are no longer those of
# anybody else. Leave by `.astype(np.float32)`.

# %%
(np.int32([1]) * np.float32([0.5])).dtype

# %% [markdown]
# ## Exercises
#
# **1.** Activations 4, -5, 3 and weights +1, -1, 0. How many operations does the product by masks take, beginning from 0?

# %%
from minibitnet.course.matmul import check_operations, check_product

answer = ...
check_operations(answer)

# %% [markdown]
# **2.** Write the product: `x_codes` (T, N) and `w_codes` (M, N) to (T, M), by masks.

# %%
def product(x_codes, w_codes):
    return ...


check_product(product)

# %% [markdown]
# ## Summary
#
# - Where the weight is +1 add, where it is -1 subtract, where it is 0 skip. That is the definition.
# - Add up in int32, or in float32 as long as every sum stays below 2**24: the same number to the last bit.
# - For a token, 2B4T's ternary matrices take 602 million additions, as many subtractions, no multiplication. What else is multiplied,
#   notebook 15 counts.
#
# **Next:** [notebook 5](05_bitlinear.ipynb) puts these four together. The module is [matmul.py](../minibitnet/matmul.py).
