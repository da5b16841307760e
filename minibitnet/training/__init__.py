"""Training: how a model learns weights that are only -1, 0 and +1.

Every piece of the model appears here once more, for a batch of texts, with its way
back. A piece returns what it computes and a *pullback*: a function that takes the
gradient of the loss by its output and returns the gradients by its inputs. The forward
pass collects pullbacks; the backward pass calls them in reverse.

In this order
    `backward`          norm, rotation, attention and gate, each with its way back
    `straight_through`  rounding, which has no slope, and how gradients pass it
    `losses`            cross-entropy: what the token that came costs
    `network`           a block, and the whole model
    `adamw`             from gradients to a step
    `schedule`          learning rate and weight decay over a training
    `vocabulary`        a tokenizer of one's own
    `texts`             from files to batches of ids
    `loop`              draw, compute, move, again
    `state`             a training that is interrupted and resumed
    `export`            from masters to a checkpoint
"""
