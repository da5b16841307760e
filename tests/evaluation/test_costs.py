import numpy as np
import pytest

import minibitnet as mb
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.checkpoint.inspect import count_matrices, is_tied, part_of
from minibitnet.checkpoint.open import open_checkpoint
from minibitnet.evaluation import costs
from minibitnet.files.published import CODE_COUNTS, CONFIG
from minibitnet.kernels import lookup
from minibitnet.weights import GROUPS, matrices

C = parse_config(CONFIG)


@pytest.mark.parametrize("name", costs.REPORT)
def test_the_energies_of_the_report_come_out_to_three_digits(name):
    row = costs.compare(costs.REPORT[name])
    assert round(row["J"], 3) == row["J, published"]


@pytest.mark.parametrize("name", costs.REPORT)
def test_the_memory_column_comes_out_within_its_rounding(name):
    row = costs.compare(costs.REPORT[name])
    assert row["GB"] == pytest.approx(row["GB, published"], abs=0.09)


def test_the_row_of_2b4t_has_its_sizes():
    sizes = ("hidden_size", "intermediate_size", "num_hidden_layers", "vocab_size")
    sizes += ("num_attention_heads", "num_key_value_heads", "head_dim")
    row = costs.REPORT["BitNet b1.58 2B4T"].config
    assert [getattr(row, key) for key in sizes] == [getattr(C, key) for key in sizes]


def test_weights_are_those_in_the_file(checkpoint):
    opened = open_checkpoint(checkpoint)
    found = {"ternary matrices": 0, "embedding and head": 0, "norms": 0}
    found["ternary matrices"] = sum(map(sum, count_matrices(opened).values()))
    for name, tensor in opened.tensors.items():
        if part_of(name) in ("embedding and head", "norms"):
            found[part_of(name)] += tensor.array.size
    weights = costs.count_weights(
        opened.config, sub_norms=opened.stored.sub_norms, tied=is_tied(opened)
    )
    assert [*weights] == [*found.values()]


def test_a_cache_is_as_large_as_its_arrays(model):
    cache = mb.KVCache(model.config, 50)
    found = cache.keys.nbytes + cache.values.nbytes
    assert costs.cache_size(model.config, 50) == found
    assert costs.cache_size(model.config, 50, bits=16) == found / 2


def test_2b4t_adds_and_subtracts_what_its_weights_ask_for():
    operations = costs.count_ternary(C, *costs.SHARES)
    assert operations == (CODE_COUNTS[+1], CODE_COUNTS[-1], 0, 0)


def test_products_are_counted_where_they_are_made(model):
    # Each scaled sum and each code is one multiplication.
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
    sizes = matrices(model.config)
    indices = 0
    for group in GROUPS:
        rows = [sizes[name][0] for name in group]
        packed = [np.zeros((-(-M // 4), N), np.uint8) for M, N in map(sizes.get, group)]
        indices += lookup.lay_out(packed, rows).size
    operations = costs.count_look_ups(model.config)
    assert operations.look_ups == model.config.num_hidden_layers * indices
    assert operations.multiplies == operations.subtracts == 0


def test_additions_that_make_a_table_are_counted():
    # 27 tables for each 189 columns; in a table of 2187 sums each is one addition of
    # two parts, 9 sums of two numbers and 243 of five
    tables = 27 * (3 * -(-2560 // 189) + -(-6912 // 189)) * 30
    operations = costs.count_look_ups(C)
    made = operations.adds - operations.look_ups
    assert made == tables * (2187 + 9 * 1 + 243 * 4)


def test_energy_is_by_weights_and_by_pairs_of_tokens():
    once = costs.estimate_energy(C, tokens=10, weight=costs.INT8_ADD)
    twice = costs.estimate_energy(C, tokens=20, weight=costs.FP16_MULTIPLY_ADD)
    assert twice.linear / once.linear == pytest.approx(2 * 0.5 / 0.007)
    assert twice.attention == pytest.approx(4 * once.attention)


def test_everything_is_counted_at_once(model):
    weights = costs.Weights(ternary=800, embedding=100, norms=10)
    report = costs.count_all(model.config, weights, 7)
    assert report["weights"] == weights._asdict()
    assert report["bytes by bits of a ternary weight"]["2"] == {
        "ternary": 200,
        "with embedding at 16 bits": 400,
    }
    assert report["cache of 7 tokens"] == costs.cache_size(model.config, 7)
    assert report["operations of a token"]["attention, 7 tokens"]["adds"] > 0
    assert report["report"].keys() == costs.REPORT.keys()


def test_a_decode_step_of_2b4t_reads_the_file_and_the_cache():
    config = parse_config(CONFIG)
    packed, embedding = 2_084_044_800 // 4, 2 * 128_256 * 2560
    assert costs.step_size(config, 0) == packed + embedding
    # keys and values of 30 layers, 5 heads, 128 numbers, 4 bytes
    assert costs.step_size(config, 7) - costs.step_size(config, 0) == 7 * 2 * 76_800
