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
# # 16. How does one train weights that cannot move a little?
#
# **You will be able to** take a training step on ternary weights by hand; write both gradients of a BitLinear; and say why a
# model that is there already cannot simply be rounded, and what repairs it.
#
# 45 minutes. Before: notebooks [1](01_absmean.ipynb), [5](05_bitlinear.ipynb) and [10](10_model.ipynb).

# %%
import numpy as np

np.set_printoptions(precision=4, suppress=True)

# %% [markdown]
# ## Loss and gradient
#
# The *loss* is one number that says how wrong the outputs are. The *gradient* of the loss by a weight is a slope: how much the loss grows
# for each unit that the weight grows. Against the gradient is downhill. An array of weights has a gradient of the same shape, a slope for
# each.
#
# Let `y = x @ W.T`, and `dy` the gradient by `y`. `W[m, n]` goes into `y[t, m]` with the factor `x[t, n]`, for every token t. So its slope is
# the sum over t of `dy[t, m] * x[t, n]`: `dW = dy.T @ x`. And `x[t, n]` goes into every `y[t, m]` with the factor `W[m, n]`: `dx = dy @ W`.
# That is all the calculus needed here. The loss of a language model is what the next token costs
# ([notebook 6](06_rmsnorm.ipynb)), on average.

# %% [markdown]
# ## By hand
#
# Training changes each weight a little, against the gradient of the loss. A weight that is -1, 0 or +1 cannot change a little. So
# another number is kept for each, the *master*, in float32. What the model computes with is the master rounded, as in
# [notebook 1](01_absmean.ipynb).

# %%
from minibitnet.absmean import quantize_weights

W = np.array([[0.5, -1.0, 0.28]], np.float32)
w_codes, w_scale = quantize_weights(W)
w_codes, w_scale

# %% [markdown]
# For the input (1, 1, 1) the output is 0.5933 × (1 - 1 + 0) = 0. It should be 0.7. The loss is half the squared error, so its gradient by the
# output is 0 - 0.7 = -0.7, and by each weight -0.7 × 1. How does this gradient reach the master, through the rounding? Move the third
# master a little:

# %%
for nudge in (-0.001, 0, 0.001):
    print(nudge, quantize_weights(W + np.float32([[0, 0, nudge]]))[0])

# %% [markdown]
# Its code does not move at all. The slope of a staircase is zero, nearly everywhere, and a gradient times zero is zero. The
# *straight-through estimator* acts as if the rounding were not there: the gradient by the rounded weight is taken for the gradient by the
# master. With a rate of 0.1 each master moves by 0.07:

# %%
W += np.float32(0.1 * 0.7)
w_codes, w_scale = quantize_weights(W)
W, w_codes, w_scale

# %% [markdown]
# The third master was near the boundary (half of the scale), has crossed it, and its code is 1 now. The output is 0.6167 × (1 - 1 + 1): nearly
# 0.7. The other masters moved as well, and nothing shows it, yet.

# %% [markdown]
# ## The same, through the package
#
# A *pullback* takes the gradient by an output back to the gradients by the inputs. Forward the rounded numbers, backward as if they
# were not:

# %%
import inspect

from minibitnet.training.straight_through import bit_linear, round_weights

print(inspect.getsource(bit_linear))

# %%
x = np.ones((1, 3), np.float32)
y, pullback = bit_linear(x, round_weights([np.array([[0.5, -1.0, 0.28]], np.float32)]))
dx, dW = pullback(y - 0.7)
y, dx, dW

# %% [markdown]
# Each piece of the model has such a pair, and each formula is short. This is the gate:

# %%
from minibitnet.training.backward import squared_relu_gate

print(inspect.getsource(squared_relu_gate))

# %% [markdown]
# The forward pass leaves its pullbacks behind, the backward pass calls them from the last to the first. That is all of backpropagation:

# %%
from minibitnet.training import network

print(inspect.getsource(network.block))

# %% [markdown]
# ## What it looks like: masters on their way
#
# A layer with 24 weights learns from examples that another one made, a *teacher* with codes that we know. Each line is a master, divided by
# the scale; its color is the teacher's code. Between the dashed lines a weight counts as 0.

# %%
import matplotlib.pyplot as plt

rng = np.random.default_rng(3)
teacher = rng.permutation(np.repeat(np.float32([-1, 0, 1]), 8))[None]
W = rng.standard_normal((1, 24), np.float32)
path, codes = [], []
for step in range(400):
    x = rng.standard_normal((16, 24), np.float32)
    y, pullback = bit_linear(x, round_weights([W]))
    _, dW = pullback((y - x @ teacher.T) / len(x))
    W = W - np.float32(0.02) * dW
    w_codes, w_scale = quantize_weights(W)
    path.append(W[0] / w_scale)
    codes.append(w_codes[0])

# %%
figure, axes = plt.subplots(figsize=(8, 3.5), layout="constrained")
for code, color in ((-1, "tab:blue"), (0, "0.6"), (1, "tab:red")):
    axes.plot(np.array(path)[:, teacher[0] == code], color=color, lw=1)
    axes.plot([], color=color, label=f"teacher {code:+d}" if code else "teacher 0")
axes.axhline(0.5, color="k", ls="--", lw=1)
axes.axhline(-0.5, color="k", ls="--", lw=1)
axes.set(xlabel="step", ylabel="master / scale")
axes.legend(frameon=False, ncols=3, loc="lower center");

# %%
for when, found in (("start", codes[0]), ("end", codes[-1])):
    print(f"codes right at the {when}: {np.sum(found == teacher)} of 24")
changes = np.any(np.diff(codes, axis=0), axis=1)
print("steps in which a code changed:", changes.sum(), "of", changes.size)

# %% [markdown]
# Masters walk; now and then one crosses a line, and only then does the layer change. Where the teacher has 0, a master that comes from
# outside stops just inside a line, because no push is left once all codes are right. One that began inside stays about there.

# %% [markdown]
# ## A whole model
#
# Now two small models with the same sizes, seed and data, one of them ternary. They learn to write from [stories](data/told.txt)
# that the built-in model told, byte by byte. `AdamW` is the usual rule that turns gradients into steps; `Schedule` says how large the steps are: small at first, then large,
# then small again.

# %%
from dataclasses import replace
from pathlib import Path

import minibitnet as mb
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.files.published import CONFIG
from minibitnet.training.adamw import AdamW
from minibitnet.training.loop import Settings, draw_parameters, train
from minibitnet.training.schedule import Schedule
from minibitnet.training.straight_through import float_linear, keep_weights

row = np.frombuffer(Path("data/told.txt").read_bytes(), np.uint8)
content = CONFIG | {
    "hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 1, "num_attention_heads": 4,
    "num_key_value_heads": 2, "vocab_size": 256, "max_position_embeddings": 256, "rope_theta": 1e4,
    "bos_token_id": 0, "eos_token_id": 0,
}
config = parse_config(content)
schedule = Schedule(steps=700, warmup=20, high=5e-3, low=2.5e-3, peak_decay=0.1)
settings = Settings(schedule, batch_size=8, context=64, threads=2)
len(row)

# %%
ways = {
    "float32": {"weights": keep_weights, "linear": float_linear},
    "ternary, int8": {"weights": round_weights, "linear": bit_linear},
}
optimizers = {way: AdamW(draw_parameters(config, seed=0)) for way in ways}
losses = {}
for way, functions in ways.items():
    steps = train(optimizers[way], config, row, replace(settings, **functions))
    losses[way] = [step.loss for step in steps]

# %%
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
for way, loss in losses.items():
    bits = np.convolve(loss, np.ones(20) / 20, "valid") / np.log(2)
    axes.plot(np.arange(len(bits)) + 19, bits, label=way)
axes.set(xlabel="step", ylabel="bits per byte")
axes.legend(frameon=False);

# %% [markdown]
# The ternary one keeps up, with a sixteenth of the bytes in its matrices. The built-in model was made the same way, with
# more of everything: see [the model card](../minibitnet/stories/MODEL_CARD.md).
#
# The masters are then thrown away. What is kept is codes and one scale per matrix, and inference computes what training computed:

# %%
import tempfile

from minibitnet.training.export import export_packed

with tempfile.TemporaryDirectory() as place:
    export_packed(optimizers["ternary, int8"].parameters, content, Path(place))
    model, _ = mb.load(place)
    prompt = b"Once upon a time"
    new = list(mb.generate(model, list(prompt), max_new_tokens=150, temperature=0.6, seed=1))
print((prompt + bytes(new)).decode(errors="replace"))

# %% [markdown]
# ## What goes wrong otherwise
#
# **Rounding a model that was not trained for it.** Take the float32 model, and round its weights afterwards. What does its text cost now?

# %%
from minibitnet.training.losses import cross_entropy
from minibitnet.training.network import forward, round_matrices
from minibitnet.training.texts import draw_batch


def cost(parameters, weights, linear):
    """Bits per byte, on one batch."""
    ids = draw_batch(row, 32, 64, seed=1, step=0)
    rounded = round_matrices(parameters, config, weights)
    logits, _ = forward(parameters, rounded, config, ids[:, :-1], linear)
    loss, _ = cross_entropy(logits, ids[:, 1:].ravel())
    return loss / ids[:, 1:].size / np.log(2)


for way in ways:
    for name, functions in ways.items():
        bits = cost(optimizers[way].parameters, **functions)
        print(f"trained {way:14} used {name:14} {bits:.2f} bits per byte")

# %% [markdown]
# The float32 model does not survive the rounding. (And a ternary model must be used as it was trained: its masters are no better model.) Is it
# lost? Take its weights as masters, and train on, now *with* the rounding, for some steps at a smaller rate. Beside it, the one that was ternary
# from the beginning, with as many more:

# %%
print("bits per byte with rounding   float32 first   ternary all along")
for extra in (100, 200):
    more = Schedule(steps=extra, warmup=10, high=2.5e-3, low=1.25e-3, peak_decay=0.1)
    bits = []
    for way in ways:
        masters = {name: w.copy() for name, w in optimizers[way].parameters.items()}
        longer = AdamW(masters)
        list(train(longer, config, row, replace(settings, schedule=more)))
        bits.append(cost(longer.parameters, **ways["ternary, int8"]))
    print(f"after {extra} more steps {bits[0]:22.2f} {bits[1]:19.2f}")

# %% [markdown]
# A hundred steps repair most of it, and after two hundred it costs less with the rounding than it did before without. So a BitNet can be made
# of a model that is there: not by rounding it, but by training it on with the rounding. HF1BitLLM made theirs so from Llama 3, with 100 billion
# tokens, and it came near to it. The rounding has to be there while the model learns, or at least while it learns last. (2B4T was trained
# with it from the beginning.)
#
# **The true derivative.** Move every master of a matrix up by a thousandth of the scale. How many codes notice?

# %%
name = "model.layers.0.mlp.up_proj.weight"
master = optimizers["ternary, int8"].parameters[name]
w_codes, w_scale = quantize_weights(master)
int(np.sum(quantize_weights(master + w_scale / 1000)[0] != w_codes)), w_codes.size

# %% [markdown]
# The others have the slope 0. And those few do not have a slope either, they jump.
#
# **A rate for float32.** Masters must travel to the next line before anything happens. With a hundredth of the rate few codes
# change:

# %%
start = quantize_weights(draw_parameters(config, 0)[name])[0]
for factor in (1, 0.01):
    slow = AdamW(draw_parameters(config, seed=0))
    slower = replace(schedule, steps=100, high=1e-2 * factor, low=5e-3 * factor)
    for step in train(slow, config, row, replace(settings, schedule=slower)):
        loss = step.loss
    moved = np.mean(quantize_weights(slow.parameters[name])[0] != start)
    bits = loss / np.log(2)
    print(f"rate x {factor:4}: {moved:5.1%} of the codes changed, {bits:.2f} bits per byte")

# %% [markdown]
# ## Exercises
#
# **1.** A master is 0.30, the scale 0.80 (let it stay so). Each step adds 0.02. After how many steps does the code change?

# %%
from minibitnet.course.training import check_dmasters, check_dx, check_steps

answer = ...
check_steps(answer)

# %% [markdown]
# **2.** Write the gradient of a BitLinear by its input: from `dy` (T, M) and the masters `W` (M, N) to `dx` (T, N).


# %%
def dx(dy, W):
    return ...


check_dx(dx)

# %% [markdown]
# **3.** And by its masters: from `dy` (T, M) and the input `x` (T, N) to (M, N). `quantize_activations` of [notebook 2](02_absmax.ipynb) may help.

# %%
from minibitnet.absmax import quantize_activations


def dmasters(dy, x):
    return ...


check_dmasters(dmasters)

# %% [markdown]
# ## Summary
#
# - Masters in float32 learn, their codes compute. Only the codes are shipped.
# - Straight through: forward with the rounding, backward as if it were not there.
# - A model must meet its rounding in training, from the beginning or at the end. Rounded afterwards, and no more, it is lost.
#
# **Next:** [notebook 17](17_stages.ipynb), how to find what is wrong with a model that talks. The modules are in [training](../minibitnet/training),
# first of all [straight_through.py](../minibitnet/training/straight_through.py); the estimator is of Bengio et al., 2013, arXiv 1308.3432, BitNet's use of it of
# Wang et al., 2023, arXiv 2310.11453, section 2.2.
