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
# # 12. How do logits become a text?
#
# **You will be able to** choose a token by hand, greedily and at random; say what temperature, top-k and top-p do; and write the loop that
# writes.
#
# 25 minutes. Before: notebook [10](10_model.ipynb).

# %%
import numpy as np

import minibitnet as mb

np.set_printoptions(precision=3, suppress=True)

# %% [markdown]
# ## By hand
#
# A vocabulary of four tokens; the model gives four logits. Softmax turns them into probabilities.

# %%
logits = np.log(np.array([0.5, 0.1, 0.25, 0.15], np.float32))
np.exp(logits) / np.exp(logits).sum()

# %% [markdown]
# **Greedy** takes the most likely one. **Sampling** draws one at random with these probabilities. **Temperature** divides the logits first:
# with 0.5 every ratio is squared, so the likely become still more likely.

# %%
squared = np.array([0.5, 0.1, 0.25, 0.15]) ** 2
squared / squared.sum()

# %% [markdown]
# **Top-k** keeps the k most likely: with k = 3 the token with 0.1 is gone. **Top-p** keeps the most likely until their probabilities sum to
# p: for 0.6 that takes 0.5 and 0.25. They are made to add up to one again.

# %%
np.array([0.5, 0, 0.25, 0]) / 0.75

# %% [markdown]
# ## The same, through the package

# %%
import inspect

from minibitnet.sampling import probabilities

print(inspect.getsource(probabilities))

# %%
probabilities(logits, temperature=0.5), probabilities(logits, temperature=1.0, top_p=0.6)

# %% [markdown]
# And the loop: read the prompt at once (*prefill*), then choose a token, read it, choose the next (*decode*). `next_logits` reads what is
# unread, a long prompt in pieces of 256 tokens. Before this, `generate` only looks at what it was given.

# %%
from minibitnet import decode

source = inspect.getsource(decode.generate)
print(source[source.index("    def write") :])

# %% [markdown]
# ## What it looks like

# %%
import matplotlib.pyplot as plt

model, tokenizer = mb.load()
ids = tokenizer.encode("Once upon a time, there was a little")
logits = mb.forward(model, ids, last=True)
best = np.argsort(-logits)[:12]
words = [tokenizer.decode([int(token)]) for token in best]

# %%
figure, axes = plt.subplots(figsize=(8, 3), layout="constrained")
for n, temperature in enumerate((0.5, 1.0, 1.5)):
    probs = probabilities(logits, temperature)[best]
    axes.bar(np.arange(12) + 0.27 * (n - 1), probs, 0.27, label=f"temperature {temperature}")
axes.set(xticks=range(12), ylabel="probability of the next token")
axes.set_xticklabels(words, rotation=30)
axes.legend(frameon=False);

# %% [markdown]
# ## Four ways to go on

# %%
ids = tokenizer.encode("The dog")
for options in ({"temperature": 0.0}, {"temperature": 0.7, "top_p": 0.9}, {"temperature": 1.0},
                {"temperature": 2.0}):
    new = list(mb.generate(model, ids, max_new_tokens=35, seed=3, **options))
    print(options, "\n  The dog" + tokenizer.decode(new), "\n")

# %% [markdown]
# Too cold repeats, too hot raves. The same seed gives the same text:

# %%
once, again = (
    list(mb.generate(model, ids, max_new_tokens=20, temperature=1.0, seed=7)) for _ in range(2)
)
once == again

# %% [markdown]
# ## Why the cache
#
# The loop reads one token a step because the cache holds the rest (notebook 9). Without it each step would read everything again:

# %%
steps = np.arange(1, 101)
print("tokens read for 100 new ones, with cache:", len(steps), " without:", steps.sum())

# %% [markdown]
# ## What goes wrong otherwise
#
# **One end of text.** 2B4T ends a document with token 128001 and an answer with 128009. Who stops at the first only gets an answer that
# goes on with a question of its own. Ours knows two as well:

# %%
model.config.eos_token_ids, tokenizer.encode("<|end_of_text|><|eot_id|>", bos=False)

# %%
from dataclasses import replace

deaf = replace(model, config=replace(model.config, eos_token_ids=()))
ids = tokenizer.chat([{"role": "user", "content": "Tell me a story about a dog."}])
for name, m in (("stops", model), ("deaf", deaf)):
    new = list(mb.generate(m, ids, max_new_tokens=330, temperature=0.7, top_p=0.9, seed=1))
    print(f"{name}: {len(new)} tokens, ... {tokenizer.decode(new)[-60:]!r}")

# %% [markdown]
# **exp of a large number** is infinity: take the largest logit off first.

# %%
with np.errstate(all="ignore"):
    print(np.exp(np.float32([800, 801])) / np.exp(np.float32([800, 801])).sum())
probabilities(np.float32([800, 801]), temperature=1.0)

# %% [markdown]
# **Top-p without the token that reaches p.** With a p below the probability of the most likely token nothing would be left.

# %%
from minibitnet.course.sampling import check_probs, check_share, probs_cut_short

probs_cut_short(np.log([0.5, 0.1, 0.25, 0.15]), 1.0, 0.4)

# %% [markdown]
# ## Exercises
#
# **1.** The probabilities are 0.5, 0.25, 0.15, 0.1. How many tokens does top-p 0.6 keep?

# %%
answer = ...
check_share(answer)

# %% [markdown]
# **2.** Write the probabilities: from `logits`, `temperature` (above 0) and `top_p` to an array that adds up to one. First the
# temperature, then the cut.

# %%
def probs(logits, temperature, top_p):
    return ...


check_probs(probs)

# %% [markdown]
# ## Summary
#
# - Logits divided by the temperature, softmax, tail cut off, draw. Temperature 0 is greedy.
# - Prefill reads the prompt at once; each decode step reads one token and writes one.
# - A text ends at any of several ids, at a full cache, or at a limit.
#
# **Next:** [notebook 13](13_tokenizer.ipynb), how a conversation becomes a row of numbers. The modules of this notebook are [sampling.py](../minibitnet/sampling.py) and
# [decode.py](../minibitnet/decode.py); top-p is of Holtzman et al., *The Curious Case of Neural Text Degeneration*, 2019, arXiv 1904.09751.
