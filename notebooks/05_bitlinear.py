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
# # 5. What is a linear layer here, and what does rounding cost?
#
# **You will be able to** compute a BitLinear with pencil and paper; say at which point numbers stop being exact; and measure what
# eight bits cost beside seven or four.
#
# 25 minutes. Before: notebooks [1](01_absmean.ipynb), [2](02_absmax.ipynb) and [4](04_matmul.ipynb).

# %%
import numpy as np

np.set_printoptions(precision=4, suppress=True)

# %% [markdown]
# ## By hand
#
# A token of four numbers, two rows of ternary weights, and the scale of the weights, 0.525.

# %%
x = np.array([[0.5, -1.0, 0.25, 0.0]], np.float32)
w_codes = np.array([[1, 0, 1, -1],
                    [-1, 0, 1, 0]], np.int8)
w_scale = np.float32(0.525)

# %% [markdown]
# **Quantize.** The largest becomes 127: the codes are 64, -127, 32, 0, the scale is 1/127.
#
# **Multiply.** Row 0 is 64 + 32 - 0, row 1 is -64 + 32.

# %%
acc = np.array([64 + 32 - 0, -64 + 32])
acc

# %% [markdown]
# **Rescale.** A code of the token is worth 1/127, a code of the weights 0.525.

# %%
acc * (1 / 127) * 0.525

# %% [markdown]
# Without any rounding it would have been

# %%
(x @ (w_codes * w_scale).T)

# %% [markdown]
# Near, and not the same: 0.5 is not quite 64/127. All the rounding that one sees is in the first step. The product of whole numbers
# is exact; the two multiplications at the end round in the seventh digit.

# %% [markdown]
# ## The same, through the package

# %%
import inspect

from minibitnet.bitlinear import BitLinear, bit_linear, rescale

print(inspect.getsource(bit_linear))

# %%
print(inspect.getsource(rescale))

# %% [markdown]
# (`stage(name, array)` gives the array its name for a trace and changes nothing. A *linear layer* is one product with a matrix;
# "layer 0" is a whole block.)

# %%
from minibitnet.kernels import KERNELS
from minibitnet.packing import pack, unpack

packed = pack(w_codes)
layer = BitLinear(
    packed=(packed,), rows=(2,), scales=(w_scale,), multiply=KERNELS["masks"]([packed], [2])
)
bit_linear(x, layer, "x", "y")

# %% [markdown]
# `packed` holds the weights as in [notebook 3](03_packing.ipynb), and `multiply` is the product with them by one of the kernels of
# [notebook 4](04_matmul.ipynb). Why is there a *tuple* of each? q, k and v read the same input, and so do gate and up. It is quantized
# once, and each matrix multiplies the same codes.

# %% [markdown]
# ## In a real model
#
# Every array has a name. Here is the way through `q_proj` of the first layer, for six tokens:

# %%
import minibitnet as mb

model, tokenizer = mb.load()
ids = tokenizer.encode("The fox saw the cheese")
with mb.trace() as stages:
    mb.forward(model, ids)
for name in ("attn_norm", "attn_in.codes", "attn_in.scale", "q.acc", "q"):
    array = stages["layers.0." + name]
    print(f"{name:14} {array.dtype!s:8} {array.shape!s:10} {array[1].ravel()[:4]}")

# %% [markdown]
# A loaded model shows its weights. These are the first codes of the first rows of that same matrix, and from its row 0 and the codes of a
# token follows the `q.acc` above:

# %%
qkv = model.layers[0].self_attn.qkv_proj
q_codes = unpack(qkv.packed[0], qkv.rows[0])
q_codes[:2, :12], stages["layers.0.attn_in.codes"][1].astype(int) @ q_codes[0]

# %% [markdown]
# float32, then integers, then float32 again. Between the codes and `q.acc` nothing can go wrong by a little: a port is right to
# the last bit, or it is wrong.

# %% [markdown]
# ## What it looks like: what rounding costs
#
# The same layer with other numbers of bits for the activations. The error is that of the outputs, beside outputs without rounding.

# %%
def error(stage, layer, bits):
    """Relative error of a layer's first outputs if its inputs had that many bits."""
    x = stages[f"layers.0.{stage}"]
    w = unpack(layer.packed[0], layer.rows[0]).astype(np.float32)
    top = 2 ** (bits - 1) - 1
    scale = np.abs(x).max(axis=1, keepdims=True) / top
    rounded, exact = np.rint(x / scale) * scale @ w.T, x @ w.T
    return np.sqrt(np.mean((rounded - exact) ** 2) / np.mean(exact**2))


# %%
import matplotlib.pyplot as plt

every = range(2, 11)
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
down = model.layers[0].mlp.down_proj
layers = {"attn_norm into q_proj": qkv, "ffn_sub_norm into down_proj": down}
for label, layer in layers.items():
    errors = [error(label.split()[0], layer, bits) for bits in every]
    axes.semilogy(every, errors, "o-", label=label)
axes.axvline(8, color="k", lw=0.5)
axes.set(xlabel="bits of an activation", ylabel="relative error of the outputs")
axes.legend(frameon=False);

# %% [markdown]
# Each bit halves the error. Behind squared ReLU one number is much larger than the rest and takes the scale for itself, so the
# others have fewer steps left; that is why four bits would do for `q_proj` sooner than for `down_proj`.

# %% [markdown]
# ## What goes wrong otherwise
#
# **The scale divided.** In older checkpoints the stored `weight_scale` is 1 / mean|W| and divides; in 2B4T it is mean|W| and
# multiplies. Which, is in `config.json` (`linear_class`), not in the name. A norm stands behind most layers, so a wrong size is
# partly repaired, and the model goes on talking:

# %%
from dataclasses import replace


def broken(block):
    qkv = block.self_attn.qkv_proj
    upside_down = tuple(np.float32(1) / scale for scale in qkv.scales)
    attention = replace(block.self_attn, qkv_proj=replace(qkv, scales=upside_down))
    return replace(block, self_attn=attention)


wrong = replace(model, layers=tuple(broken(block) for block in model.layers))
[float(scale) for scale in model.layers[0].self_attn.qkv_proj.scales]

# %%
ids = tokenizer.encode("Once upon a time")
for name, m in (("right", model), ("wrong", wrong)):
    new = list(mb.generate(m, ids, max_new_tokens=40, temperature=0.7, top_p=0.9))
    print(f"{name}: {tokenizer.decode(new)}\n")

# %% [markdown]
# **float64 by accident.** `int32 * float32` is float64 in NumPy. `rescale` leaves the integers by `astype(np.float32)` first.

# %%
x_scale = np.float32([[0.01]])
int_acc = acc[None].astype(np.int32)
(int_acc * x_scale).dtype, rescale(int_acc, x_scale, w_scale).dtype

# %% [markdown]
# ## Exercises
#
# **1.** The sum of the codes is 40, the scale of the token 0.005, that of the weights 0.5. What is the output?

# %%
from minibitnet.course.bitlinear import check_output, check_value

answer = ...
check_value(answer)

# %% [markdown]
# **2.** Write the BitLinear yourself, from `quantize_activations` and `ternary_matmul`: `x` (T, N) float32, `w_codes` (M, N),
# and one `w_scale`, to (T, M) float32.

# %%
from minibitnet.absmax import quantize_activations
from minibitnet.matmul import ternary_matmul


def output(x, w_codes, w_scale):
    return ...


check_output(output)

# %% [markdown]
# ## Summary
#
# - Quantize the token, multiply whole numbers, rescale: `acc.astype(float32) * (x_scale * w_scale)`.
# - All rounding is in the first step. From codes to sums all is exact.
# - A scale multiplies codes. Who divides gets a model that still talks.
#
# **Next:** [notebook 6](06_rmsnorm.ipynb), why tokens are brought to the same size. The module is
# [bitlinear.py](../minibitnet/bitlinear.py); the paper Wang et al., *BitNet*, 2023, arXiv 2310.11453, section 2.1.
