"""For ports: what a right implementation computes, by name.

In this order
    `names`     every stage, its shape and what other programs call it
    `traces`    a forward pass in a file
    `zoo`       forty ways to get it wrong
    `port`      a port run on a model
    `dumps`, `evalcallback`, `seen`
                the numbers of a port, in whatever form
    `evidence`, `diagnose`
                which of the forty it is
    `selftest`  whether the arithmetic is exact here, and a copy of 2B4T the real one
"""
