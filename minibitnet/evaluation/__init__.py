"""What a model is worth, and what it costs.

In this order
    `costs`   bytes, operations and joules, computed from a config
    `speed`   how long reading and writing take, by one way of computing
    `rounds`  every way in turn, each in a process of its own, several times
    `score`   how well a model predicts text it has not seen
"""
