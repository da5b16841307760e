"""Training: how a model learns weights that are only -1, 0 and +1.

Every piece of the model appears here once more, for a batch of texts, with its way
back. A piece returns what it computes and a *pullback*: a function that takes the
gradient of the loss by its output and returns the gradients by its inputs. The forward
pass collects pullbacks; the backward pass calls them in reverse.

In this order
    `straight_through`  rounding, which has no slope, and how gradients pass it
    `norm`              RMSNorm
    `rotation`          RoPE
    `attention`         causal attention with grouped queries
    `gate`              squared ReLU
    `loss`              cross-entropy
    `network`           a block, and the whole model
"""
