"""For ports: what a right implementation computes, by name.

In this order
    `names`     every stage, its shape and what other programs call it
"""
