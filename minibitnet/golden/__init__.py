"""For ports: what a right implementation computes, by name.

In this order
    `names`     every stage, its shape and what other programs call it
    `selftest`  whether the arithmetic is exact here, and a copy of 2B4T the real one
"""
