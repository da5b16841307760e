"""What ternary costs: one small model, trained three ways.

The same sizes, text, seed and schedule; only what is rounded differs: nothing, the
weights, or weights and activations (BitNet b1.58)::

    pip install '.[notebooks]'
    python benchmarks/ternary_cost.py learn.txt --validation judge.txt --out costs

It prints a table and writes ``ternary_cost.json`` and ``ternary_cost.png`` to the
directory. The options are those of ``minibitnet train``; the sizes, unless given, those
of the built-in model.
"""

import argparse
import json
import math
from dataclasses import replace

import numpy as np
from tqdm import tqdm

from minibitnet.checkpoint.configfile import parse_config
from minibitnet.commands.train import (
    add_arguments,
    choose_documents,
    make_config,
    make_settings,
)
from minibitnet.training.adamw import AdamW
from minibitnet.training.loop import draw_parameters, train
from minibitnet.training.losses import cross_entropy
from minibitnet.training.network import forward, round_matrices
from minibitnet.training.straight_through import (
    bit_linear,
    float_linear,
    keep_weights,
    round_weights,
)
from minibitnet.training.texts import encode_documents
from minibitnet.training.vocabulary import train_vocabulary
from minibitnet.weights import is_ternary

WAYS = {  # name: how weights and activations are used, bits of a weight
    "float32": (keep_weights, float_linear, 32),
    "ternary weights": (round_weights, float_linear, math.log2(3)),
    "ternary weights, int8 activations": (round_weights, bit_linear, math.log2(3)),
}
SMOOTH = 20  # steps, in the picture


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_arguments(parser)
    parser.set_defaults(
        context=384, batch_size=10, steps=300, warmup=50, peak_lr=4e-3, second_lr=2e-3
    )
    return parser.parse_args()


def bits_per_byte(parameters, config, settings, inner, documents):
    """As `minibitnet.evaluation.score`, with the forward pass of the training."""
    rounded = round_matrices(parameters, config, settings.weights)
    nats, size = 0.0, 0
    for document in documents:
        ids = encode_documents(inner, [document])[: config.max_position_embeddings + 1]
        inputs, targets = ids[None, :-1], ids[1:]
        logits, _ = forward(parameters, rounded, config, inputs, settings.linear)
        nats += cross_entropy(logits, targets)[0]
        size += len(inner.decode(ids.tolist()).encode())  # without special tokens
    return nats / math.log(2) / size


def run(name, config, row, inner, validation, args):
    """Train one way; its losses and what the held-out text costs."""
    weights, linear, bits = WAYS[name]
    settings = replace(make_settings(args), weights=weights, linear=linear)
    optimizer = AdamW(draw_parameters(config, args.seed))
    steps = tqdm(train(optimizer, config, row, settings), name, args.steps)
    losses = [step.loss / math.log(2) for step in steps]
    cost = bits_per_byte(optimizer.parameters, config, settings, inner, validation)
    ternary = sum(w.size for n, w in optimizer.parameters.items() if is_ternary(n))
    return {
        "way": name,
        "bits per weight": bits,
        "megabytes of matrices": ternary * bits / 8 / 1e6,
        "training, bits per token": float(np.mean(losses[-SMOOTH:])),
        "held out, bits per byte": cost,
        "losses": losses,
    }


def draw(results, file):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for result in results:
        smooth = np.convolve(result["losses"], np.ones(SMOOTH) / SMOOTH, "valid")
        steps = np.arange(len(smooth)) + SMOOTH
        label = f"{result['way']}: {result['held out, bits per byte']:.3f} bits/byte"
        axes.plot(steps, smooth, label=label)
    axes.set(
        xlabel="step",
        ylabel=f"training loss, bits per token\n(mean of {SMOOTH} steps)",
        title="One small model, trained three ways (in the legend: on held-out text)",
    )
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    figure.savefig(file, dpi=120)


def main():
    args = parse_arguments()
    learn, validation = choose_documents(args)
    inner = train_vocabulary(learn, args.vocab_size)
    config = parse_config(make_config(args, inner.token_to_id))
    row = encode_documents(inner, learn)
    results = [run(name, config, row, inner, validation, args) for name in WAYS]
    columns = [key for key in results[0] if key != "losses"]
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for result in results:
        cells = (result[c] if c == "way" else f"{result[c]:.3f}" for c in columns)
        print(f"| {' | '.join(cells)} |")
    args.out.mkdir(parents=True, exist_ok=True)
    report = {"arguments": vars(args), "results": results}
    text = json.dumps(report, default=str)
    (args.out / "ternary_cost.json").write_text(text + "\n")
    draw(results, args.out / "ternary_cost.png")


if __name__ == "__main__":
    main()
