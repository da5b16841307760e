import hashlib
import json

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from shared import DATA, REAL, needs_shared, read_shared

from minibitnet import bf16
from minibitnet.attention import softmax
from minibitnet.checkpoint.configfile import parse_config
from minibitnet.files import published
from minibitnet.packing import unpack

pytestmark = needs_shared
FACTS = "2b4t/real_2b4t_checkpoint_facts.json"


def test_the_config_means_the_same_as_the_real_one():
    real = json.loads((REAL / "config.json").read_text())
    generation = json.loads((REAL / "generation_config.json").read_text())
    assert published.CONFIG.items() <= real.items()
    assert published.GENERATION_CONFIG.items() <= generation.items()
    assert parse_config(real, generation) == parse_config(
        published.CONFIG, published.GENERATION_CONFIG
    )


@pytest.mark.parametrize("name", published.FILES_SHA256)
def test_the_small_files_have_their_hashes(name):
    digest = hashlib.sha256((REAL / name).read_bytes()).hexdigest()
    assert digest == published.FILES_SHA256[name]


def test_the_identity_is_the_recorded_one():
    facts = read_shared(FACTS)
    assert facts["model"] == f"{published.HUB_ID} @{published.REVISION}"
    assert facts["file"]["size"] == published.WEIGHTS_BYTES
    assert facts["file"]["sha256"] == published.WEIGHTS_SHA256
    assert facts["file"]["header_sha256"] == published.HEADER_SHA256


def test_the_published_logits_are_copied_right():
    recorded = read_shared("golden/greedy_and_logits.json")["hf_transformers_bf16"]
    assert recorded["logits_input_ids"] == list(published.LOGITS_IDS)
    assert recorded["expected_mean_over_vocab"] == list(published.MEAN_LOGITS)
    assert recorded["expected_logits_0_0_0_30"] == list(published.FIRST_LOGITS)
    assert recorded["greedy"]["expected_decoded_skip_special"].endswith(
        published.GREEDY_ANSWER
    )


def test_real_packed_bytes_unpack_to_the_recorded_codes():
    real = read_shared(FACTS)["real_bytes"]
    q_proj = bytes.fromhex(real["hf_q_proj_layer0_packed_row0_cols0_15_hex"])
    codes = bytes.fromhex(real["decodes_to_rows_0_640_1280_1920_hex_i8"])
    packed = np.frombuffer(q_proj, np.uint8)[None]
    assert_array_equal(unpack(packed), np.frombuffer(codes, np.int8).reshape(4, 16))

    example = real["hf_unpack_docstring_example"]
    packed = np.frombuffer(bytes.fromhex(example["packed_hex"]), np.uint8).reshape(2, 2)
    codes = np.frombuffer(bytes.fromhex(example["values_8x2_hex_i8"]), np.int8)
    assert_array_equal(unpack(packed), codes.reshape(8, 2))


def test_real_scales_are_bfloat16():
    scales = read_shared("2b4t/real_2b4t_weight_scales.json")["weight_scale_bf16"]
    values = np.float32(list(scales.values()))
    assert len(values) == 210
    assert_array_equal(bf16.widen(bf16.narrow(values)), values)


# A run of the real model by bitnet.cpp, of which the first numbers of each array in
# layer 0 are kept, at the last of eight tokens. Its keys and values are float16.


@pytest.fixture(scope="module")
def dump():
    folder = DATA / "golden" / "bitnetcpp-layer0"
    manifest = json.loads((folder / "manifest.json").read_text())
    data = (folder / "data.bin").read_bytes()
    return {
        entry["Name"]: np.frombuffer(
            data,
            {"F32": np.float32, "F16": np.float16}[entry["dtype"]],
            entry["element_count"],
            entry["offset"],
        )
        for entry in manifest["entries"]
        if entry["dtype"] in ("F32", "F16")
    }


def first_gains(name):
    tensors = read_shared("2b4t/real_2b4t_bf16_first5.json")["tensors"]
    return np.float32(tensors[name]["first5"])


def test_the_residual_of_a_block_is_two_sums(dump):
    h = dump["embedding_output_first_32"]
    o = dump["first_layer_attn_o_out_0_first_32"]
    ffn_inp = dump["first_layer_feedforward_input_first_32"]
    assert_allclose(h + o, ffn_inp, rtol=1e-6)
    down = dump["first_layer_feedforward_down_output_first_32"]
    l_out = dump["first_layer_feedforward_output_runtime_semantic_first_32"]
    assert_allclose(ffn_inp + down, l_out, rtol=1e-6)


def test_scores_are_divided_by_the_root_of_the_head_before_softmax(dump):
    scores = dump["first_layer_head0_attention_score_all_values"]
    weights = dump["first_layer_head0_softmax_weight_all_values"]
    found = softmax(scores.astype(np.float64) * 128**-0.5)
    assert_allclose(found, weights, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("before", "after", "gain"),
    [
        ("embedding_output", "attention_norm_output", "input_layernorm"),
        ("feedforward_input", "feedforward_norm_output", "post_attention_layernorm"),
        ("feedforward_output", "feedforward_sub_norm_output", "mlp.ffn_sub_norm"),
    ],
)
def test_a_norm_divides_by_one_number_and_multiplies_by_gains(
    dump, before, after, gain
):
    x = dump.get(f"first_layer_{before}_first_32", dump.get(f"{before}_first_32"))[:5]
    y = dump[f"first_layer_{after}_first_32"][:5]
    gains = first_gains(f"model.layers.0.{gain}.weight")
    largest = np.abs(x * gains).argmax()
    size = y[largest] / (x * gains)[largest]
    # The gains at hand are bfloat16, each within 2**-8; the GGUF has them unrounded.
    assert_allclose(y, x * gains * size, rtol=2**-7, atol=0)
