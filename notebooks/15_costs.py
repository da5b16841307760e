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
# # 15. Where do 0.4 GB, 29 ms and 0.028 J come from?
#
# **You will be able to** count the bytes, operations and joules of a model from its `config.json`; reproduce the published figures;
# and say what each of them leaves out.
#
# 40 minutes. Before: notebooks [3](03_packing.ipynb), [4](04_matmul.ipynb) and [11](11_checkpoint.ipynb).
#
# The report on BitNet b1.58 2B4T (Ma et al., 2025, arXiv 2504.12285, table 1) gives it these costs:
#
# | | published | the file that one downloads |
# |---|---|---|
# | memory, without the embedding | 0.4 GB | 1.18 GB |
# | time of a token, on a laptop's CPU | 29 ms | |
# | energy, estimated | 0.028 J | |

# %%
import numpy as np

# %% [markdown]
# ## By hand
#
# 2B4T has D numbers in a token and F in gate and up; H query heads and G key/value heads of d numbers; L blocks:

# %%
D, F, H, G, d, L = 2560, 6912, 20, 5, 128, 30

# %% [markdown]
# **Weights.** A block has seven matrices of M outputs and N inputs:
#
# | | M × N | weights |
# |---|---|---|
# | q | H d × D | 2560 × 2560 = 6,553,600 |
# | k, v | G d × D | 640 × 2560 = 1,638,400 each |
# | o | D × H d | 2560 × 2560 = 6,553,600 |
# | gate, up | F × D | 6912 × 2560 = 17,694,720 each |
# | down | D × F | 2560 × 6912 = 17,694,720 |

# %%
block = 2 * H * d * D + 2 * G * d * D + 3 * F * D
ternary = L * block
block, ternary

# %% [markdown]
# **Bytes.** The file spends two bits on a weight. Three values carry log2(3) bits of information, and the report counts 1.58:

# %%
np.log2(3), ternary * 2 / 8 / 1e9, ternary * 1.58 / 8 / 1e9

# %% [markdown]
# The last number is the published 0.4 GB.
#
# **Operations.** A row of q has 2,560 weights, and 42.2% of 2B4T's weights are zero:

# %%
2560 * (1 - 0.422)

# %% [markdown]
# That is 1,480 additions and subtractions, and one multiplication by the scales when the sum is done. The report does not skip zeros: it
# counts an addition for every weight.
#
# **Joules.** On a chip of 7 nm an addition of 8-bit integers takes 0.007 pJ (1 pJ is 1e-12 J); a multiplication and an addition of 16-bit floats (FP16)
# take 0.34 + 0.16 pJ (Wang et al., *BitNet*, 2023, arXiv 2310.11453, table 2). The row in picojoules, ternary and in FP16:

# %%
2560 * 0.007, 2560 * 0.50, 0.50 / 0.007

# %% [markdown]
# The report's energy is that of 512 tokens:

# %%
linear = 512 * ternary * 0.007e-12
linear

# %% [markdown]
# A quarter of 0.028. The rest is attention: two products, queries with keys and attention weights with values, in FP16, of every
# token with every token.

# %%
attention = 2 * 512**2 * H * d * L * 0.50e-12
attention, linear + attention

# %% [markdown]
# The report names the rule (arithmetic of matrix products, 7 nm, 512 tokens) and not the formula. This one is a reconstruction, and
# below it gives all six published energies.

# %% [markdown]
# ## The same, through the package

# %%
import inspect
import json

from minibitnet.checkpoint.configfile import parse_config
from minibitnet.evaluation import costs
from minibitnet.files.published import CONFIG, WEIGHTS_BYTES
from minibitnet.stories import BUILT_IN

print(inspect.getsource(costs.count_weights))

# %%
config = parse_config(CONFIG)
small = parse_config(json.loads((BUILT_IN / "config.json").read_text()))
weights = costs.count_weights(config)
weights, costs.count_weights(small)

# %%
print(inspect.getsource(costs.estimate_energy))

# %%
costs.estimate_energy(config, tokens=512, weight=costs.INT8_ADD)

# %% [markdown]
# Is the count complete? Count the built-in model, add its scales and the header, and take that from the size of the file:

# %%
from minibitnet.files.tensorfile import read_tensors

path = BUILT_IN / "model.safetensors"
header = 8 + int.from_bytes(path.read_bytes()[:8], "little")
w = costs.count_weights(small)
scales = sum(t.array.nbytes for name, t in read_tensors(path).items() if "_scale" in name)
path.stat().st_size - (w.ternary * 2 + (w.embedding + w.norms) * 16) // 8 - scales - header

# %% [markdown]
# Not a byte is left. In 2B4T's file the scales and the header are what remains:

# %%
counted = (weights.ternary * 2 + (weights.embedding + weights.norms) * 16) // 8
WEIGHTS_BYTES, counted, WEIGHTS_BYTES - counted

# %% [markdown]
# ## What it looks like: bytes

# %%
import matplotlib.pyplot as plt

from minibitnet.evaluation.costs import BITS

every = np.arange(len(BITS))
parts = {"ternary matrices": [costs.size(weights.ternary, bits) for bits in BITS],
         "embedding, which is the head, 16 bits": costs.size(weights.embedding, 16),
         "cache of 4,096 tokens, 16 bits": costs.cache_size(config, 4096, 16)}
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
bottom = np.zeros(len(BITS))
for (name, size), colour in zip(parts.items(), ("C0", "C1", "0.75")):
    size = np.broadcast_to(size, len(BITS)) / 1e9
    axes.bar(every, size, bottom=bottom, color=colour, label=name)
    bottom = bottom + size
for x, total in zip(every, bottom):
    axes.text(x, total, f"{total:.2f}", ha="center", va="bottom")
axes.set(xticks=every, xticklabels=BITS, xlabel="bits of a ternary weight", ylabel="GB",
         ylim=(0, 6))
axes.legend(frameon=False);

# %% [markdown]
# Two bits in place of 16 save 3.65 GB. 1.6 bits (five weights in a byte, since 3**5 = 243 < 256) save another 0.10: by then the
# embedding is the largest part, and it stays as it is.

# %% [markdown]
# ## Six models, row by row
#
# Table 1 of the report has five other models. All their weights are 16 bits; everything else is counted the same way.

# %%
print(" " * 22, "GB  published   J: linear  attention     sum  published")
for name, row in costs.REPORT.items():
    gb, gb_told, linear, attention, joules, joules_told = costs.compare(row).values()
    print(f"{name:18} {gb:6.3f} {gb_told:10}", end=" ")
    print(f"{linear:11.4f} {attention:10.4f} {joules:7.4f} {joules_told:10}")

# %% [markdown]
# The energies agree to all published digits. So do the gigabytes, but for MiniCPM, whose 4.88 stand there as 4.8.
#
# | published | what it counts | what it leaves out |
# |---|---|---|
# | 0.4 GB | ternary matrices at 1.58 bits | embedding, norms, cache, activations; and a file spends 2 bits |
# | 0.028 J | matrices and attention, 512 tokens | head, norms, scales, softmax, all reading of memory |
# | 29 ms | nothing; it was measured | |
#
# The joules also count what is not needed: an addition for a weight of 0, and scores of later tokens, which a causal model masks.

# %% [markdown]
# ## The operations of one token
#
# "No multiplications" is said of the ternary products. A token that is generated with 512 tokens in the cache takes

# %%
operations = {
    "ternary matrices": costs.count_ternary(config, *costs.SHARES),
    "quantizing, scaling": costs.count_scaling(config),
    "attention": costs.count_attention(config, 512),
    "head": costs.count_head(config),
}
print(f"{'':20} {'adds':>13} {'subtracts':>13} {'multiplies':>13}")
for name, o in operations.items():
    print(f"{name:20} {o.adds:13,} {o.subtracts:13,} {o.multiplies:13,}")

# %% [markdown]
# The same in joules, at the report's prices: an addition for each ternary weight, 0.50 pJ for each multiplication. Beside it, the same
# model with FP16 weights:

# %%
prices = np.array([costs.FP16_MULTIPLY_ADD, costs.INT8_ADD])
microjoules = {"matrices of the blocks": weights.ternary * prices * 1e6}
for name in ("attention", "head"):
    multiplies = operations[name].multiplies
    microjoules[name] = np.full(2, multiplies * costs.FP16_MULTIPLY_ADD * 1e6)

colours = {"matrices of the blocks": "C0", "attention": "C2", "head": "C1"}
figure, axes = plt.subplots(figsize=(7, 2.4), layout="constrained")
left = np.zeros(2)
for name, size in microjoules.items():
    axes.barh(["FP16 weights", "ternary weights"], size, left=left, label=name,
              color=colours[name], edgecolor="white", hatch="///" if name == "head" else None)
    left = left + size
for y, total in enumerate(left):
    axes.text(total, y, f" {total:.0f}", va="center")
axes.set(xlabel="microjoules of one token; hatched: not in the report", xlim=(0, 1400))
axes.invert_yaxis()
figure.legend(loc="outside upper center", ncols=3, frameon=False);

# %%
total = np.zeros(2)
for name, size in microjoules.items():
    total = total + size
    print(f"up to {name:24} FP16 / ternary = {total[0] / total[1]:4.1f}")

# %% [markdown]
# An addition is 71 times cheaper; the token is not, because attention and the head stay. Quantizing and scaling would be a bar too thin
# to see:

# %%
operations["quantizing, scaling"].multiplies * costs.FP16_MULTIPLY_ADD * 1e6

# %% [markdown]
# ## Where 29 ms come from
#
# To make one token, a program reads every weight once. If the processor keeps up, the time of a token is the bytes of the weights over
# the *bandwidth* of the memory. Turn that round: which bandwidth do the published times imply?

# %%
milliseconds = dict(zip(costs.REPORT, (48, 41, 65, 67, 124, 29)))  # table 1 of the report
read = {}
for name, row in costs.REPORT.items():
    w = costs.count_weights(row.config)
    bits = 2 if row.bits < 2 else 16
    read[name] = costs.size(w.ternary, bits), costs.size(w.embedding, 16)
print(" " * 18, "GB: blocks   head    ms   GB/s: blocks  and head")
for name, (blocks, head) in read.items():
    ms = milliseconds[name]
    print(f"{name:18} {blocks / 1e9:10.3f} {head / 1e9:6.3f} {ms:5}", end=" ")
    print(f"{blocks / ms / 1e6:14.1f} {(blocks + head) / ms / 1e6:9.1f}")

# %%
figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
for parts, label, inside in ((1, "blocks only", "white"), (2, "blocks and head", "C0")):
    rates = [sum(read[name][:parts]) / milliseconds[name] / 1e6 for name in read]
    axes.plot(rates, list(read), "o", ms=8, color="C0", mfc=inside, label=label)
axes.set(xlabel="GB/s that the published time implies", xlim=(0, 60))
axes.invert_yaxis()
axes.grid(axis="x", alpha=0.3)
axes.legend(frameon=False, loc="upper left");

# %% [markdown]
# With the head, all six lie between 40 and 52 GB/s, though one model reads 1.2 GB and another 5.5. So the time of a token follows the
# bytes that it reads, and of 2B4T's bytes more than half are the head. (It counts at 16 bits here for all; so it is in the GGUF file of
# 2B4T that Microsoft published.)
#
# What cannot be derived: how fast that laptop reads, and why 2B4T comes out lowest of the six. 29 ms is the authors' measurement: a
# Core i7-13800H, 8 threads, the mean of 128 tokens, by bitnet.cpp, and by llama.cpp for the others.
#
# And this machine? A dot product of an array with itself reads each number once:

# %%
import time

numbers = np.ones(2**26, np.float32)
seconds = []
for _ in range(4):
    start = time.perf_counter()
    numbers @ numbers
    seconds.append(time.perf_counter() - start)
bandwidth = numbers.nbytes / min(seconds)
blocks, head = read["BitNet b1.58 2B4T"]
print(f"{bandwidth / 1e9:.1f} GB/s; to read 2B4T: {(blocks + head) / bandwidth * 1e3:.0f} ms")

# %% [markdown]
# ## What goes wrong otherwise
#
# **Gigabytes of what?** Six sizes of one model. The last counts the embedding at 1.58 bits, too; it has 16.

# %%
everything = weights.ternary + weights.embedding
for what, size in {
    "matrices at 1.58 bits, as in the report": costs.size(weights.ternary, 1.58),
    "matrices at 2 bits": costs.size(weights.ternary, 2),
    "the file": WEIGHTS_BYTES,
    "the file, and a cache of 4,096 tokens": WEIGHTS_BYTES + costs.cache_size(config, 4096, 16),
    "all weights at 16 bits": costs.size(everything, 16),
    "all weights at 1.58 bits": costs.size(everything, 1.58),
}.items():
    print(f"{what:40} {size / 1e9:6.3f} GB {size / 2**30:6.3f} GiB")

# %% [markdown]
# 1.18 GB and 1.10 GiB are the same file. Who expects a tenth of the FP16 model forgets that embedding and cache are not ternary
# ([issue 41](https://github.com/microsoft/BitNet/issues/41) of bitnet.cpp).
#
# **0.028 J taken for a token.** It is 512 tokens. One, in microjoules:

# %%
sum(costs.estimate_energy(config, tokens=512, weight=costs.INT8_ADD)) / 512 * 1e6

# %% [markdown]
# **The head forgotten.** Predict 2B4T's time from the bandwidth of LLaMA's row, in milliseconds, without and with the head:

# %%
llama = sum(read["LLaMA 3.2 1B"]) / milliseconds["LLaMA 3.2 1B"]
blocks / llama, (blocks + head) / llama, head / llama

# %% [markdown]
# The head alone takes longer than all 30 blocks. Blocks of no bytes at all would not halve the time.
#
# **Energy of arithmetic taken for energy of the machine.** Each token reads the file. At how many picojoules a byte does reading cost as
# much as all the ternary additions?

# %%
weights.ternary * 0.007 / WEIGHTS_BYTES

# %% [markdown]
# Unless a byte comes from memory for less than two 8-bit additions, reading costs more. What it does cost, no count here says; a
# measurement does. An FPGA board that runs 2B4T takes 0.381 J a token, 0.147 J of it above idle
# ([bitnet-kv260](https://github.com/MerlijnW70/bitnet-kv260), docs/overview.md). Above idle and in all, in multiples of the report's
# joules of a token:

# %%
token = sum(costs.estimate_energy(config, tokens=512, weight=costs.INT8_ADD)) / 512
0.147 / token, 0.381 / token

# %% [markdown]
# The report's joules compare arithmetic with arithmetic. What a machine takes has to be measured.

# %% [markdown]
# ## Exercises
#
# **1.** The cache holds float16, two bytes a number. How many bytes does one token of 2B4T add to it?

# %%
from minibitnet.course.costs import check_cache, check_matrix_bytes, check_token_energy

answer = ...
check_cache(answer)

# %% [markdown]
# **2.** Write the bytes of the seven matrices of one block at `bits` bits a weight. H d need not be D: in Gemma it is not.

# %%
def matrix_bytes(D, F, H, G, d, bits):
    return ...


check_matrix_bytes(matrix_bytes)

# %% [markdown]
# **3.** Write the microjoules of one generated token: 0.007 pJ for each `ternary` weight; 0.50 pJ for each weight of the `head` and for
# each multiplication in attention to `tokens` tokens, in `layers` layers; `width` is H d.

# %%
def token_energy(ternary, head, width, layers, tokens):
    return ...


check_token_energy(token_energy)

# %% [markdown]
# ## Summary
#
# - 0.4 GB is the ternary matrices at 1.58 bits. The file has 0.52 GB of them at 2 bits, and 0.66 GB of embedding at 16.
# - 0.028 J is arithmetic for 512 tokens, three quarters of it attention. Head and memory are not in it.
# - 29 ms was measured. Reading 1.18 GB in that time is 41 GB/s; the other models' times imply 44 to 52.
# - Where one part gets cheap, the others remain: by these counts the head is now the largest in bytes, time and joules.
#
# **Next:** [notebook 16](16_training.ipynb), how one trains weights that cannot move a little. The module is
# [costs.py](../minibitnet/evaluation/costs.py); `minibitnet costs` prints these counts for any model.
