import numpy as np
import pytest
from shared import REAL, needs_shared, read_shared

from minibitnet import CheckpointError
from minibitnet.checkpoint import synth
from minibitnet.checkpoint.configfile import parse_config, parse_stored
from minibitnet.checkpoint.open import open_checkpoint
from minibitnet.checkpoint.synth import (
    SMALL,
    random_array,
    tensor_specs,
    write_checkpoint,
)
from minibitnet.files import published
from minibitnet.files.tensorfile import header
from minibitnet.packing import find_unused_code, unpack
from minibitnet.training.vocabulary import SMALLEST

C = published.CONFIG
SPECS = tensor_specs(parse_config(C), parse_stored(C))


def test_the_same_seed_gives_the_same_file(checkpoint, tmp_path, request):
    content = request.node.callspec.params["checkpoint"]
    again = write_checkpoint(tmp_path / "again", content, seed=1)
    other = write_checkpoint(tmp_path / "other", content, seed=2)
    weights = [
        (d / "model.safetensors").read_bytes() for d in (checkpoint, again, other)
    ]
    assert weights[0] == weights[1] != weights[2]


def test_what_is_drawn_looks_like_2b4t(checkpoint):
    tensors = open_checkpoint(checkpoint).tensors
    matrices = [t.array for t in tensors.values() if t.dtype == "U8"]
    assert all(find_unused_code(packed) is None for packed in matrices)
    zeros = np.concatenate([unpack(packed).ravel() for packed in matrices]) == 0
    # a share of n draws strays by about sqrt(p * (1 - p) / n)
    share = published.CODE_COUNTS[0] / 2_084_044_800
    assert abs(zeros.mean() - share) < 4 * 0.5 / np.sqrt(zeros.size)


def test_a_large_array_comes_in_pieces():
    spec = SPECS["model.layers.0.mlp.down_proj.weight"]
    pieces = list(random_array("down_proj.weight", spec, np.random.default_rng(0)))
    assert sum(piece.size for piece in pieces) == 640 * 6912


def test_2b4t_is_as_large_as_the_real_file():
    assert len(SPECS) == 542
    size = len(header(SPECS)) + sum(spec.nbytes for spec in SPECS.values())
    assert size == published.WEIGHTS_BYTES


def test_a_config_that_cannot_be_is_refused(tmp_path):
    with pytest.raises(CheckpointError, match="hidden_act"):
        write_checkpoint(tmp_path, published.CONFIG | {"hidden_act": "gelu"})


def test_a_small_one_has_a_token_for_each_byte():
    assert SMALL["vocab_size"] == SMALLEST
    assert parse_config(SMALL).eos_token_ids == (SMALLEST - 1,)


@needs_shared
def test_the_header_is_the_real_one_byte_for_byte():
    real = (REAL / "model.safetensors.header.bin").read_bytes()
    assert header(SPECS) == real


@needs_shared
def test_zeros_and_scales_are_those_of_the_real_weights():
    stats = read_shared("2b4t/real_2b4t_ternary_stats.json")
    counts = {-1: stats["minus"], 0: stats["zeros"], +1: stats["plus"]}
    assert counts == published.CODE_COUNTS
    scales = read_shared("2b4t/real_2b4t_weight_scales.json")[
        "weight_scale_bf16"
    ].values()
    assert published.SCALE_RANGE == (min(scales), max(scales))


def test_more_layers_than_a_header_can_list_are_refused_at_once(tmp_path):
    with pytest.raises(ValueError, match="num_hidden_layers: expected at most [0-9]+,"):
        write_checkpoint(tmp_path / "a", SMALL | {"num_hidden_layers": 100_000_000})
    assert not (tmp_path / "a").exists()


def test_what_takes_a_while_is_announced(tmp_path, capsys, monkeypatch):
    write_checkpoint(tmp_path / "a", SMALL)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(synth, "LARGE", 100)
    write_checkpoint(tmp_path / "b", SMALL)
    assert capsys.readouterr().err == "writing 0.0 GB\n"


def test_a_directory_that_is_not_empty_is_refused(tmp_path):
    (tmp_path / "chat_template.jinja").touch()  # it would speak for the new model
    with pytest.raises(ValueError, match="expected a new or an empty directory"):
        write_checkpoint(tmp_path, SMALL)
