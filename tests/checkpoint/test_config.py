import json

import pytest

from minibitnet import CheckpointError
from minibitnet.checkpoint.configfile import parse_config, parse_stored
from minibitnet.files.published import CONFIG, GENERATION_CONFIG

LLAMA = {
    key: value for key, value in CONFIG.items() if key != "quantization_config"
} | {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
}


def test_both_ends_of_text_of_2b4t_stop_it():
    assert parse_config(CONFIG, GENERATION_CONFIG).eos_token_ids == (128001, 128009)


@pytest.mark.parametrize(
    ("linear_class", "divides"),
    [("autobitlinear", False), ("bitlinear", True), (None, True)],
)
def test_linear_class_decides_whether_the_scale_divides(linear_class, divides):
    quantization = {"quant_method": "bitnet", "linear_class": linear_class}
    stored = parse_stored(CONFIG | {"quantization_config": quantization})
    assert stored.scale_divides is divides


@pytest.mark.parametrize("said", [True, False, None])
def test_the_head_is_tied_as_the_file_says_if_it_says_so(said):
    assert parse_stored(CONFIG | {"tie_word_embeddings": said}).tied is said


def test_a_body_of_llama_has_no_sub_norms_and_its_own_theta():
    assert parse_stored(CONFIG).sub_norms
    assert not parse_stored(LLAMA).sub_norms
    without_theta = {k: v for k, v in LLAMA.items() if k != "rope_theta"}
    assert parse_config(without_theta).rope_theta == 10_000


def test_without_a_model_type_the_architecture_tells():
    unsaid = {key: value for key, value in CONFIG.items() if key != "model_type"}
    del unsaid["hidden_act"]
    assert parse_config(unsaid) == parse_config(CONFIG)
    config = parse_config(unsaid | {"architectures": ["LlamaForCausalLM"]})
    assert (config.hidden_act, config.rms_norm_eps) == ("silu", 1e-5)


def test_missing_keys_are_those_of_transformers():
    bare = {
        key: LLAMA[key] for key in LLAMA if key not in ("rms_norm_eps", "hidden_act")
    }
    del bare["max_position_embeddings"]
    config = parse_config(bare)
    assert (config.rms_norm_eps, config.hidden_act) == (1e-6, "silu")
    assert config.max_position_embeddings == 2048


def test_theta_is_found_where_transformers_5_writes_it():
    rope = {"rope_theta": 1234.0, "rope_type": "default"}
    assert parse_config(CONFIG | {"rope_parameters": rope}).rope_theta == 1234


@pytest.mark.parametrize(
    ("changes", "masters"),
    [
        ({}, False),
        ({"architectures": ["BitnetForCausalLM"]}, True),
        ({"quantization_config": {"quant_method": "bitnet"}}, True),
    ],
)
def test_what_calls_itself_bitnet_is_taken_for_one(changes, masters):
    assert parse_stored(LLAMA | changes).masters is masters


@pytest.mark.parametrize(
    ("changes", "key", "expected", "found"),
    [
        ({"hidden_size": None}, "hidden_size", "a whole number", "nothing"),
        ({"hidden_size": "2560"}, "hidden_size", "a whole number", "'2560'"),
        ({"vocab_size": 0}, "vocab_size", "a whole number", "0"),
        ({"vocab_size": 2**60}, "vocab_size", "a whole number", str(2**60)),
        ({"num_hidden_layers": True}, "num_hidden_layers", "a whole number", "True"),
        ({"num_key_value_heads": 3}, "num_key_value_heads", "a divisor of", "3"),
        ({"num_attention_heads": 15}, "head_dim", "a whole number", "0"),
        ({"head_dim": 127}, "head_dim", "an even number", "127"),
        ({"rms_norm_eps": -1e-5}, "rms_norm_eps", "a number above 0", "-1e-05"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps", "a number above 0", "nan"),
        ({"rope_theta": float("inf")}, "rope_theta", "a number above 0", "inf"),
        ({"hidden_act": "gelu"}, "hidden_act", "relu2 or silu", "'gelu'"),
        ({"hidden_act": ["relu2"]}, "hidden_act", "relu2 or silu", r"\['relu2'\]"),
        ({"tie_word_embeddings": "yes"}, "tie_word_embeddings", "true or", "'yes'"),
        ({"eos_token_id": 128256}, "eos_token_id", "token ids from 0", "128256"),
        ({"eos_token_id": [1, None]}, "eos_token_id", "token ids from 0", "None"),
        ({"attention_bias": True}, "attention_bias", "not supported", "True"),
        ({"mlp_bias": True}, "mlp_bias", "not supported", "True"),
        ({"sliding_window": 4096}, "sliding_window", "nothing", "4096"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor", "1.0", "0.5"),
        ({"quantization_config": 7}, "quantization_config", "a JSON object", "7"),
        (
            {"quantization_config": {"quant_method": "gptq"}},
            "quant_method",
            "bitnet",
            "gptq",
        ),
        (
            {"quantization_config": {"linear_class": "linear"}},
            "linear_class",
            "auto",
            "linear",
        ),
        (
            {"quantization_config": {"use_rms_norm": True}},
            "use_rms_norm",
            "False",
            "True",
        ),
        (
            {"rope_scaling": {"type": "linear", "factor": 2}},
            "rope_type",
            "scaling",
            "linear",
        ),
        ({"rope_scaling": {"rope_type": "llama3"}}, "rope_type", "scaling", "llama3"),
        ({"rope_parameters": {"rope_type": "yarn"}}, "rope_type", "scaling", "yarn"),
        ({"rope_scaling": {"factor": 8}}, "factor", "not supported", "8"),
        ({"rope_parameters": {"full_attention": {}}}, "full_attention", "not", "{}"),
        ({"model_type": "granite"}, "model_type", "bitnet or llama", "'granite'"),
        ({"logits_scaling": 8.0}, "logits_scaling", "not supported", "8.0"),
        ({"final_logit_softcapping": 30}, "final_logit_softcapping", "nothing", "30"),
        ({"rope_theta": 10**400}, "rope_theta", "a number above 0", "1000"),
    ],
)
def test_what_the_model_cannot_do_is_refused_by_name(changes, key, expected, found):
    with pytest.raises(
        CheckpointError, match=rf"{key}: expected .*{expected}.*found.*{found}"
    ):
        parse_config(CONFIG | changes), parse_stored(CONFIG | changes)


def test_end_of_text_ids_are_each_named_once_in_order():
    twice = {"eos_token_id": [5, 3, 5]}
    found = parse_config(CONFIG | twice, {"eos_token_id": [3, 9]}).eos_token_ids
    assert found == (5, 3, 9)


def test_the_shipped_config_survives_json():
    assert parse_config(json.loads(json.dumps(CONFIG))) == parse_config(CONFIG)
