import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import SHAPES, ternary_codes
from test_checkpoint import change_config, copy, write  # noqa: F401

from minibitnet.checkpoint.inspect import (
    count_bytes,
    count_codes,
    count_matrices,
    find_faults,
    is_tied,
    part_of,
    sum_by_kind,
)
from minibitnet.checkpoint.open import open_checkpoint
from minibitnet.packing import pack
from minibitnet.weights import in_layer, matrices


def test_every_byte_of_the_files_is_counted(checkpoint):
    tensors = open_checkpoint(checkpoint).tensors
    sizes = count_bytes(tensors.values())
    file = checkpoint / "model.safetensors"
    assert sum(sizes.values()) == file.stat().st_size
    assert sizes["headers"] == 8 + int.from_bytes(file.read_bytes()[:8], "little")
    # D = 40, F = 50, H * d = 24, G * d = 12; rows by fours, rounded up
    quarter = 6 * 40 + 2 * 3 * 40 + 10 * 24 + 2 * 13 * 40 + 10 * 50
    assert sizes["ternary matrices"] == 3 * quarter
    assert sizes["scales"] == 3 * 7 * 2
    assert sizes["others"] == 0


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("model.layers.0.mlp.ffn_layernorm.weight", "norms"),  # 1bitLLM
        ("model.norm.weight", "norms"),
        ("lm_head.weight", "embedding and head"),
        ("model.layers.0.self_attn.q_proj.weight_scale", "scales"),
        ("model.layers.0.self_attn.q_proj.bias", "others"),
        ("model.layers.0.self_attn.rotary_emb.inv_freq", "others"),
    ],
)
def test_what_has_no_place_in_a_model_is_no_part_of_it(name, part):
    assert part_of(name) == part


@given(st.data())
def test_codes_are_counted_as_they_were_packed(data):
    shape = data.draw(SHAPES)
    codes = data.draw(ternary_codes(shape))
    expected = [int((codes == code).sum()) for code in (-1, 0, 1)]
    assert count_codes(pack(codes), len(codes)) == [*expected, 0]


def test_all_matrices_are_counted_and_summed(checkpoint):
    opened = open_checkpoint(checkpoint)
    counts = count_matrices(opened)
    sizes = {name: M * N for name, (M, N) in matrices(opened.config).items()}
    assert {name: sum(each) for name, each in counts.items()} == {
        in_layer(layer, name): size
        for layer in range(3)
        for name, size in sizes.items()
    }
    sums = sum_by_kind(counts)
    assert sorted(sums) == sorted([*(name.split(".")[-1] for name in sizes), "all"])
    assert sum(sums["o_proj"]) == 3 * sizes["self_attn.o_proj"]
    assert sums["all"] == np.sum([*counts.values()], axis=0).tolist()
    assert find_faults(counts) == []


def test_masters_have_no_codes_yet(copy):  # noqa: F811
    directory, arrays = copy
    name = in_layer(0, "self_attn.o_proj")
    arrays[name] = np.ones((40, 24), np.float32)
    write(directory, arrays)
    assert name not in count_matrices(open_checkpoint(directory))


@pytest.mark.parametrize(
    ("counts", "fault"),
    [
        ([9, 9, 0, 0], "has no +1"),
        ([0, 9, 9, 0], "has no -1"),
        ([5, 5, 5, 2], "2 codes are 3, which is unused"),
    ],
)
def test_what_no_trained_matrix_has_is_a_fault(counts, fault):
    assert find_faults({"up": counts, "down": [1, 1, 1, 0]}) == [f"up: {fault}"]


def test_whether_the_head_is_tied_is_asked_of_the_arrays_if_nobody_says(
    copy,  # noqa: F811
):
    directory, arrays = copy
    change_config(directory, tie_word_embeddings=False)
    assert not is_tied(open_checkpoint(directory))
    change_config(directory, tie_word_embeddings=None)
    there = "lm_head.weight" in arrays
    assert is_tied(open_checkpoint(directory)) is not there


def test_the_head_is_not_tied_if_it_is_another_array(copy):  # noqa: F811
    directory, arrays = copy
    change_config(directory, tie_word_embeddings=True)
    embedding = arrays["model.embed_tokens.weight"]
    for head, tied in (
        (embedding, True),
        (embedding[::-1], False),
        (embedding[:-1], False),
        (embedding.astype(np.float32), False),
    ):
        write(directory, arrays | {"lm_head.weight": head})
        assert is_tied(open_checkpoint(directory)) is tied
    del arrays["model.embed_tokens.weight"]
    write(directory, arrays | {"lm_head.weight": embedding})
    assert is_tied(open_checkpoint(directory))  # as is said; loading refuses it
