import json

import numpy as np
import pytest

import minibitnet as mb
from minibitnet.evaluation import costs
from minibitnet.cli import main
from minibitnet.commands.costs import REPORT, count
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.files.published import CONFIG
from minibitnet.files.tensorfile import read_tensors
from minibitnet.kernels import lookup
from minibitnet.packing import unpack

C = parse_config(CONFIG)


@pytest.mark.parametrize("name", REPORT)
def test_the_energies_of_the_report_come_out_to_three_digits(name):
    row = count(C, 1)["report"][name]
    assert round(row["J"], 3) == row["J, published"] == REPORT[name].joules


@pytest.mark.parametrize("name", REPORT)
def test_the_memory_column_comes_out_within_its_rounding(name):
    row = count(C, 1)["report"][name]
    assert row["GB"] == pytest.approx(row["GB, published"], abs=0.09)


def test_weights_are_those_in_the_file(checkpoint):
    config = mb.load(checkpoint)[0].config
    found = dict.fromkeys(costs.Weights._fields, 0)
    for name, tensor in read_tensors(checkpoint / "model.safetensors").items():
        if name.endswith("_scale"):
            continue
        part = "ternary" if "_proj" in name else "embedding"
        part = "norms" if "norm" in name else part
        found[part] += tensor.array.size
    weights = costs.count_weights(config)
    assert weights.embedding == found["embedding"]
    assert weights.norms == found["norms"]
    shapes = [M * N for M, N in mb.assemble.matrices(config).values()]
    assert weights.ternary == config.num_hidden_layers * sum(shapes)
    assert costs.count_weights(C).ternary == 2_084_044_800


def test_a_cache_is_as_large_as_its_arrays(model):
    cache = mb.KVCache(model.config, 50)
    found = cache.keys.nbytes + cache.values.nbytes
    assert costs.cache_size(model.config, 50) == found


def test_adds_and_subtracts_are_the_ones_and_minus_ones(checkpoint):
    codes = [
        unpack(tensor.array)
        for name, tensor in read_tensors(checkpoint / "model.safetensors").items()
        if tensor.dtype == "U8"
    ]
    config = mb.load(checkpoint)[0].config
    total = costs.count_weights(config).ternary
    plus = sum(int((c == 1).sum()) for c in codes)
    operations = costs.count_ternary(config, plus / total, 0.25)
    assert operations == (plus, round(total / 4), 0, 0)


def test_products_are_counted_where_they_are_made(model):
    """Each scaled sum and each code is one multiplication."""
    with mb.trace() as stages:
        mb.forward(model, [1])
    made = sum(array.size for name, array in stages.items() if ".acc" in name)
    made += sum(array.size for name, array in stages.items() if ".codes" in name)
    assert costs.count_scaling(model.config).multiplies == made
    assert costs.count_head(model.config).multiplies == (
        stages["logits"].size * model.config.hidden_size
    )
    heads = stages["layers.0.q"].size
    seen = costs.count_attention(model.config, 7)
    assert seen.multiplies == seen.adds == 2 * 7 * heads * 3


def test_look_ups_are_the_indices(model):
    config = model.config
    shapes = mb.assemble.matrices(config)

    def indices(*names):
        packed = [
            np.zeros((-(-M // 4), N), np.uint8) for M, N in map(shapes.get, names)
        ]
        return lookup.lay_out(packed, [shapes[name][0] for name in names]).size

    expected = (
        indices("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
        + indices("self_attn.o_proj")
        + indices("mlp.gate_proj", "mlp.up_proj")
        + indices("mlp.down_proj")
    )
    operations = costs.count_look_ups(config)
    assert operations.look_ups == config.num_hidden_layers * expected
    assert operations.adds > operations.look_ups
    assert operations.multiplies == operations.subtracts == 0


def test_the_command_prints_and_as_json(capsys, checkpoint):
    assert main(["costs"]) == 0
    out = capsys.readouterr().out
    for text in (
        "2,084,044,800",
        "0.412",
        "0.521",
        "0.0276",
        "cache of 4096",
        "look_ups",
    ):
        assert text in out
    words = ["costs", "--model", str(checkpoint), "--context", "10", "--json"]
    assert main(words) == 0
    report = json.loads(capsys.readouterr().out)
    config = mb.load(checkpoint)[0].config
    assert report["weights"]["ternary"] == costs.count_weights(config).ternary
    assert report["cache of 10 tokens"] == costs.cache_size(config, 10)
