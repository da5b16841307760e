"""Small models on which bugs show that the built-in model is too tame for."""

import numpy as np
import pytest

from minibitnet import bf16, one_page
from minibitnet.checkpoint.synth import write_checkpoint
from minibitnet.files.published import CONFIG
from minibitnet.files.tensorfile import WEIGHTS, write_tensors
from minibitnet.files.tensorheader import Spec

# Sizes of which blocks of 128 codes can be made, all else as odd as it may be
QUIRKY = CONFIG | {
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_hidden_layers": 2,
    "num_attention_heads": 6,
    "num_key_value_heads": 3,
    "vocab_size": 97,
    "max_position_embeddings": 64,
    "bos_token_id": 95,
    "eos_token_id": [96, 94],
    "rms_norm_eps": 1e-4,
}
LOUD = QUIRKY | {
    "hidden_size": 320,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "rms_norm_eps": 1e-5,
}
ZERO, TIES, FLAT = 1, 2, 3  # tokens of the loud model


def squares(count, total):
    """So many whole numbers whose squares are so much together."""
    numbers = []
    for _ in range(count):
        numbers.append(min(int(total**0.5), 126))
        total -= numbers[-1] ** 2
    assert total == 0
    return numbers


def make_loud(directory):
    """A token of zeros; one of halves between two codes; one that overflows int16."""
    write_checkpoint(directory, LOUD, seed=5)
    weights = {k: np.array(v) for k, v in one_page.load(directory)[1].items()}
    D = LOUD["hidden_size"]
    ties = [127, *[0.5, -0.5] * 8, *[2.5, -2.5] * 4]
    rest = int(D * 16**2 - np.square(ties).sum())  # the norm divides by 16
    rows = one_page.widen(weights["model.embed_tokens.weight"])
    rows[ZERO] = 0
    rows[TIES] = [*ties, *squares(D - len(ties), rest)]
    rows[FLAT] = 1  # all codes are 127, and one row of q_proj is all +1
    weights["model.embed_tokens.weight"] = bf16.narrow(rows)
    gain = "model.layers.0.input_layernorm.weight"
    weights[gain] = bf16.narrow(np.ones(D, np.float32))
    weights["model.layers.0.self_attn.q_proj.weight"][0] = 0b10101010
    specs = {
        name: Spec("U8" if array.dtype == np.uint8 else "BF16", array.shape)
        for name, array in weights.items()
    }
    write_tensors(directory / WEIGHTS, specs, lambda name: [weights[name]])
    return directory


@pytest.fixture(scope="session")
def quirky(tmp_path_factory):
    return write_checkpoint(tmp_path_factory.mktemp("quirky"), QUIRKY, seed=3)


@pytest.fixture(scope="session")
def loud(tmp_path_factory):
    return make_loud(tmp_path_factory.mktemp("loud"))
