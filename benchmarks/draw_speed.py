"""Draw what ``minibitnet bench --json`` measured, a speed ladder and a roofline.

Like this::

    pip install '.[notebooks]'
    minibitnet bench --ways auto,lookup,blas,popcount,masks,float32 --json > speed.json
    python benchmarks/draw_speed.py speed.json speed.png

The ladder has a step for each way of computing; of prompts it shows the longest that
half of the ways were measured with. The roofline is what this machine could do at most,
reading memory at the speed measured, or multiplying float32 at the speed measured; each
way stands under it at the multiplications it would take for each byte of weights.
"""

import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from minibitnet.checkpoint.configfile import parse_config
from minibitnet.evaluation.costs import count_weights
from minibitnet.files.published import CONFIG

C = parse_config(CONFIG)  # its head is the embedding
WEIGHTS, HEAD, _ = count_weights(C)
BYTES = {  # of a ternary weight and of one of the head, as a way keeps them
    "auto": (2 / 7, 2),  # for one token; more are computed from packed bytes
    "lookup": (2 / 7, 2),
    "blas": (1 / 4, 2),
    "c": (1 / 4, 2),
    "masks": (1 / 4, 2),
    "popcount": (1 / 4, 2),
    "float32": (4, 4),
    "transformers": (1 / 4, 2),
}


def draw_ladder(axes, rows, kind, length):
    shown = [row for row in rows if length in row[kind]]
    shown.sort(key=lambda row: row[kind][length]["median"])
    for y, row in enumerate(shown):
        rate = row[kind][length]
        axes.barh(y, rate["median"], color="C0" if row["threads"] > 1 else "C9")
        error = [[rate["median"] - rate["low"]], [rate["high"] - rate["median"]]]
        axes.errorbar(rate["median"], y, xerr=error, color="k", capsize=2)
        axes.text(rate["high"], y, f"  {rate['median']:.3g}", va="center", size=8)
    labels = [f"{row['way']}, {row['threads']} thr." for row in shown]
    axes.set_yticks(range(len(shown)), labels, size=8)
    axes.set(xlabel="tokens a second", title=f"{kind}, {length} tokens")
    axes.margins(x=0.15)


def draw_roofline(axes, machine, rows):
    threads = max(row["threads"] for row in rows)
    memory = machine[f"GB/s, {threads} threads"] * 1e9
    peak = machine[f"GFLOP/s, {threads} threads"] * 1e9
    intensity = np.logspace(-1, 4, 200)
    axes.plot(intensity, np.minimum(intensity * memory, peak) / 1e9, "k", lw=1)
    for row in rows:
        if row["threads"] != threads:
            continue
        weight, head = BYTES[row["way"]]
        color = f"C{list(BYTES).index(row['way'])}"
        points = [(1, rate) for rate in list(row["decode"].values())[:1]]
        points += [(int(T), rate) for T, rate in row["prefill"].items()]
        for n, (T, rate) in enumerate(points):
            flops = 2 * (WEIGHTS * T + HEAD)  # the head for the last token only
            x = flops / (WEIGHTS * weight + HEAD * head)
            y = flops * rate["median"] / T / 1e9
            axes.plot(x, y, "o", color=color, label=None if n else row["way"])
    axes.set(xscale="log", yscale="log", ylabel="GFLOP/s")
    axes.set(xlabel="operations for each byte of weights", title=f"{threads} threads")
    axes.legend(fontsize=7, frameon=False)


def main(source, target):
    report = json.loads(Path(source).read_text())
    rows = report["ways"]
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    lengths = [int(T) for row in rows for T in row["prefill"]]
    prefill = str(max(T for T in lengths if lengths.count(T) >= len(rows) / 2))
    decode = min((S for row in rows for S in row["decode"]), key=int)
    draw_ladder(axes[0], rows, "decode", decode)
    draw_ladder(axes[1], rows, "prefill", prefill)
    draw_roofline(axes[2], report["machine"], rows)
    figure.savefig(target, dpi=110)


if __name__ == "__main__":
    main(*sys.argv[1:])
