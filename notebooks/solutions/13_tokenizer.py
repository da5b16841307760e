"""Answers to the exercises of notebook 13."""

import minibitnet as mb

_, tokenizer = mb.load()

# The first word is ·the. The second is · he n: it has no t, so only rank 0 applies.
count = 4


def join(ids, left, right, new):
    out, n = [], 0
    while n < len(ids):
        joined = n + 1 < len(ids) and ids[n] == left and ids[n + 1] == right
        out.append(new if joined else ids[n])
        n += 2 if joined else 1
    return out


def prompt(content):
    return tokenizer.encode(f"User: {content.strip()}<|eot_id|>Assistant: ")
