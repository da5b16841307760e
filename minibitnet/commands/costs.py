"""Count bytes, operations and joules from a config."""

import argparse
from typing import Any, NamedTuple

from minibitnet.evaluation import costs
from minibitnet.checkpoint import find_directory
from minibitnet.commands.options import print_json
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.config import Config
from minibitnet.files.jsonfile import read_json
from minibitnet.files.published import CONFIG

BITS = (16, 8, 2, 1.6, 1.58)
# Of +1 and of -1 in 2B4T; another model has about the same shares.
SHARES = (602_187_821 / 2_084_044_800, 602_163_685 / 2_084_044_800)
TOKENS = 512  # as the report


class Published(NamedTuple):
    """A row of the report's table, and what it is computed from."""

    sizes: tuple[int, ...]  # D, F, L, H, G, d, V
    bits: float
    gigabytes: float
    joules: float


REPORT = {
    "LLaMA 3.2 1B": Published((2048, 8192, 16, 32, 8, 64, 128256), 16, 2, 0.258),
    "Gemma-3 1B": Published((1152, 6912, 26, 4, 1, 256, 262144), 16, 1.4, 0.186),
    "Qwen2.5 1.5B": Published((1536, 8960, 28, 12, 2, 128, 151936), 16, 2.6, 0.347),
    "SmolLM2 1.7B": Published((2048, 8192, 24, 32, 32, 64, 49152), 16, 3.2, 0.425),
    "MiniCPM 2B": Published((2304, 5760, 40, 36, 36, 64, 122753), 16, 4.8, 0.649),
    "BitNet b1.58 2B4T": Published(
        (2560, 6912, 30, 20, 5, 128, 128256), 1.58, 0.4, 0.028
    ),
}
KEYS = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "vocab_size",
)
LEFT_OUT = """\
The memory of the report leaves out embedding, norms and cache. Its energy is of a pass
over 512 tokens, not of a token; it leaves out the head, norms, scales, softmax, and all
reading of memory; it counts a weight of 0 as an addition, and scores of later tokens,
which a causal model does not need. MiniCPM's 4.88 GB stand there as 4.8."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What ``minibitnet costs`` takes."""
    add = parser.add_argument
    add("--model", metavar="DIR_OR_ID", help="whose config (default: that of 2B4T)")
    add("--context", type=int, default=4096, metavar="S", help="tokens in the cache")
    add("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Count, and print."""
    content = CONFIG
    if args.model is not None:
        content = read_json(find_directory(args.model) / "config.json")
    report = count(parse_config(content), args.context)
    print_json(report) if args.json else print_report(report)
    return 0


def count(config: Config, tokens: int) -> dict[str, Any]:
    """All that can be counted."""
    weights = costs.count_weights(config)
    sizes = {
        f"{bits:g}": {
            "ternary": costs.size(weights.ternary, bits),
            "with embedding at 16 bits": costs.size(weights.ternary, bits)
            + costs.size(weights.embedding, 16),
        }
        for bits in BITS
    }
    operations = {
        "ternary products, by masks": costs.count_ternary(config, *SHARES),
        "the same, by tables": costs.count_look_ups(config),
        "quantizing and scaling": costs.count_scaling(config),
        f"attention, {tokens} tokens": costs.count_attention(config, tokens),
        "head": costs.count_head(config),
    }
    return {
        "weights": weights._asdict(),
        "bytes by bits of a ternary weight": sizes,
        f"cache of {tokens} tokens": costs.cache_size(config, tokens),
        "operations of a token": {k: o._asdict() for k, o in operations.items()},
        "report": {name: compare(row) for name, row in REPORT.items()},
    }


def compare(row: Published) -> dict[str, float]:
    """A row of the report beside what is computed."""
    sizes = dict(zip(KEYS, row.sizes, strict=True))
    config = parse_config(sizes | {"hidden_act": "silu", "tie_word_embeddings": True})
    energy = costs.estimate_energy(config, TOKENS, ternary=row.bits < 2)
    return {
        "GB": costs.size(costs.count_weights(config).ternary, row.bits) / 1e9,
        "GB, published": row.gigabytes,
        "J linear": energy.linear,
        "J attention": energy.attention,
        "J": energy.linear + energy.attention,
        "J, published": row.joules,
    }


def print_report(report: dict[str, Any]) -> None:
    """Print for people."""
    for name, number in report["weights"].items():
        print(f"{name + ' weights':18} {number:>15,}")
    print("\nbits of a ternary weight     GB   with the embedding")
    for bits, sizes in report["bytes by bits of a ternary weight"].items():
        alone, together = (f"{n / 1e9:.3f}" for n in sizes.values())
        print(f"{bits:>24} {alone:>6} {together:>20}")
    for name, number in report.items():
        if name.startswith("cache"):
            print(f"\n{name}, float32: {number / 1e9:.3f} GB")
    print_table("operations of a token", report["operations of a token"], ",")
    print_table("table 1 of the report", report["report"], ".4g")
    print(f"\n{LEFT_OUT}")


def print_table(title: str, rows: dict[str, dict[str, Any]], form: str) -> None:
    """Print a table."""
    columns = next(iter(rows.values()))
    print(f"\n{title:30}" + "".join(f"{column:>15}" for column in columns))
    for name, row in rows.items():
        print(f"{name:30}" + "".join(f"{n:>15{form}}" for n in row.values()))
