"""Answers to the exercises of notebook 13."""

import minibitnet as mb

_, tokenizer = mb.load()

# The first word is ·the. The second is · he n: it has no t, so only rank 0 applies.
count = 4


def join(ids, left, right, new):
    out = []
    for token in ids:
        if token == right and out and out[-1] == left:
            out[-1] = new
        else:
            out.append(token)
    return out


def prompt(content):
    return tokenizer.encode(f"User: {content.strip()}<|eot_id|>Assistant: ")
