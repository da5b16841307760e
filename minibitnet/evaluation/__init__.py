"""What a model is worth, and what it costs.

In this order
    `costs`   bytes, operations and joules, computed from a config
    `speed`   how long reading and writing take, by one way of computing
    `rounds`  every way in turn, each in a process of its own, several times
    `score`   how likely a model finds each token of a text
    `perplexity`  the same as one number, by the rules in use
    `questions`  what lm-evaluation-harness asks, understood
    `harness`  what lm-evaluation-harness asks, answered
"""
