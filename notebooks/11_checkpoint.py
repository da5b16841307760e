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
# # 11. How does a file become a model?
#
# **You will be able to** read a checkpoint with nothing but `json` and NumPy; widen bfloat16 by hand; and say from `config.json` whether a
# stored scale multiplies or divides.
#
# 25 minutes. Before: notebooks [3](03_packing.ipynb), [5](05_bitlinear.ipynb) and [10](10_model.ipynb).

# %%
import json

import numpy as np

from minibitnet.stories import BUILT_IN

sorted(file.name for file in BUILT_IN.iterdir() if file.suffix in (".json", ".safetensors"))

# %% [markdown]
# ## By hand
#
# A safetensors file is eight bytes that say how long the header is, the header, and the arrays end to end.

# %%
content = np.fromfile(BUILT_IN / "model.safetensors", np.uint8)
length = int.from_bytes(content[:8].tobytes(), "little")
length, len(content)

# %% [markdown]
# The header is JSON: for each array its dtype, its shape, and where it begins and ends.

# %%
header = json.loads(content[8 : 8 + length].tobytes())
for name in ("model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight",
             "model.layers.0.self_attn.q_proj.weight_scale", "model.norm.weight"):
    print(name, header[name])

# %% [markdown]
# `q_proj` has 256 rows, but the file says 64: four codes in a byte ([notebook 3](03_packing.ipynb)). `BF16` is *bfloat16*, which NumPy does not
# have. It is the upper half of a float32, so widening it is a shift. The first number of the last norm:

# %%
begin, _ = header["model.norm.weight"]["data_offsets"]
low, high = content[8 + length + begin :][:2]
bits = np.uint32(int(low) | int(high) << 8)
f"{bits:016b}", (bits << np.uint32(16)).view(np.float32)

# %% [markdown]
# One bit of sign, eight of exponent, seven of fraction: `0 01111111 0001010`. The sign is plus; the exponent is 127, of which 127 is taken
# off, so 2**0; the fraction is 10 of 128. Together 1 + 10/128 = 1.078125.

# %% [markdown]
# ## The same, through the package

# %%
import inspect

from minibitnet import bf16
from minibitnet.files.tensorfile import read_tensors

print(inspect.getsource(bf16.widen))

# %%
tensors = read_tensors(BUILT_IN / "model.safetensors")
bf16.widen(tensors["model.norm.weight"].array)[:4]

# %% [markdown]
# The arrays are *mapped*: nothing is read until somebody looks. And the header is not believed before the safetensors library has
# checked it: offsets without gaps, sizes that fit the shapes. A model is then those arrays, each in
# its place; the packed matrices are used as they are, without a copy:

# %%
import minibitnet as mb
from minibitnet.packing import unpack

model, _ = mb.load()
stored = tensors["model.layers.0.self_attn.q_proj.weight"].array
packed = model.layers[0].self_attn.qkv_proj.packed[0]
np.array_equal(packed, stored), unpack(packed)[:2, :8]

# %% [markdown]
# ## What it looks like: where the bytes go

# %%
from minibitnet.checkpoint.inspect import count_bytes

sizes = count_bytes(tensors.values())
sizes

# %%
import matplotlib.pyplot as plt

from minibitnet.checkpoint.configfile import parse_config
from minibitnet.evaluation.costs import count_weights
from minibitnet.files.published import CONFIG

w = count_weights(parse_config(CONFIG))
parts = {"ternary matrices": (w.ternary / 4, sizes["ternary matrices"]),
         "embedding, which is the head": (2 * w.embedding, sizes["embedding and head"]),
         "norms": (2 * w.norms, sizes["norms"])}
figure, axes = plt.subplots(figsize=(8, 2), layout="constrained")
left = np.zeros(2)
for name, size in parts.items():
    share = np.array(size) / [sum(s) for s in zip(*parts.values())]
    axes.barh(["2B4T", "built-in"], share, left=left, label=name)
    left += share
axes.set(xlabel="share of the bytes", xlim=(0, 1))
figure.legend(loc="outside upper center", ncols=3, frameon=False);

# %% [markdown]
# "A two-bit model": and yet more than half of its bytes are bfloat16. That is why 2B4T's file has 1.18 GB and not 0.4.

# %% [markdown]
# ## config.json decides what the arrays do not show

# %%
config = json.loads((BUILT_IN / "config.json").read_text())
config["hidden_act"], config["quantization_config"]

# %% [markdown]
# `linear_class` says what `weight_scale` means:
#
# | linear_class | stored | so the output is |
# |---|---|---|
# | `autobitlinear` (2B4T) | mean of the absolute weights | sum × scale |
# | `bitlinear`, or nothing (Falcon-E, HF1BitLLM) | 1 / that mean | sum / scale |
#
# The same name, the same shape. 2B4T's scales lie between 0.7 and 4.6, so their inverses have much the same size, and the numbers do not
# tell which is meant. The package brings both to one form when it
# loads, so that a scale always multiplies codes.

# %%
with open("data/real_2b4t.json", encoding="utf-8") as file:
    scales = json.load(file)["weight_scales"]
figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
for name, values in scales.items():
    axes.plot(values, ".-", label=name)
axes.axhline(1, color="k", lw=0.5)
axes.set(xlabel="layer", ylabel="weight_scale", ylim=(0, 5), title="the 210 scales of 2B4T")
axes.legend(frameon=False, ncols=4, fontsize=8);

# %%
from minibitnet.checkpoint.take import Arrays

print(inspect.getsource(Arrays.scale))

# %% [markdown]
# ## What goes wrong otherwise
#
# **bfloat16 read as float16.** The same 16 bits, another meaning; the numbers look harmless:

# %%
raw = tensors["model.norm.weight"].array[:4]
bf16.widen(raw), raw.view(np.float16)

# %% [markdown]
# **An interrupted download.** The header is there, the rest is missing, or is zeros. A loader that does not look makes a model of it.
# Here is what ours says of half a file:

# %%
import tempfile
from pathlib import Path

with tempfile.TemporaryDirectory() as place:
    for name in ("config.json", "model.safetensors"):
        Path(place, name).write_bytes((BUILT_IN / name).read_bytes())
    with open(Path(place, "model.safetensors"), "r+b") as file:
        file.truncate(len(content) // 2)
    try:
        mb.load(place)
    except mb.CheckpointError as error:
        print(str(error).replace(place, "..."))

# %% [markdown]
# **All zeros** is worse: a byte of 0 is four times the code -1, which is valid. `minibitnet inspect` reports a kind of matrix that has no +1 at all.

# %%
unpack(np.zeros((1, 3), np.uint8)).T

# %% [markdown]
# ## Exercises
#
# **1.** `linear_class` is `autobitlinear`, the stored `weight_scale` is 2.0, and the sum of the codes times the scale of the token is 3.0. What is
# the output?

# %%
from minibitnet.course.checkpoint import check_matrix, check_output, make_file

answer = ...
check_output(answer)

# %% [markdown]
# **2.** Write a loader for a file with one bfloat16 matrix `a`: from its bytes (an array of uint8, as `make_file((2, 3), seed=0)` makes) to
# float32. The offsets count from the end of the header.

# %%
def matrix(content):
    return ...


check_matrix(matrix)

# %% [markdown]
# ## Summary
#
# - Eight bytes, a page of JSON, arrays. Ternary matrices are uint8 with a quarter of the rows; the rest is bfloat16.
# - Widening bfloat16 is a shift by 16; it is not float16.
# - Whether a scale multiplies or divides, and which activation the gate has, stands in `config.json` only.
#
# **Next:** [notebook 12](12_sampling.ipynb), how logits become a text. The modules of this notebook are [tensorfile.py](../minibitnet/files/tensorfile.py),
# [bf16.py](../minibitnet/bf16.py), [configfile.py](../minibitnet/checkpoint/configfile.py) and [take.py](../minibitnet/checkpoint/take.py).
