import json

import pytest

from minibitnet import CheckpointError
from minibitnet.checkpoint.configfile import parse_config, parse_stored
from minibitnet.checkpoint.configkeys import refuse_unconverted
from minibitnet.files.jsonfile import Keys
from minibitnet.files.published import CONFIG, GENERATION_CONFIG
from minibitnet.weights import GROUPS, in_layer

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
        ({"rms_norm_eps": -1e-5}, "rms_norm_eps", "a number from 1e-30 to 1", "-1e-05"),
        ({"rms_norm_eps": float("nan")}, "rms_norm_eps", "a number from", "nan"),
        ({"rope_theta": float("inf")}, "rope_theta", "a number from 1 to", "inf"),
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
            "type",
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
        ({"rms_norm_eps": 1e200}, "rms_norm_eps", "a number from", r"1e\+200"),
        ({"rms_norm_eps": 1e-60}, "rms_norm_eps", "a number from", "1e-60"),
        ({"rope_theta": 1e-300}, "rope_theta", "a number from", "1e-300"),
        ({"rope_theta": 0.5}, "rope_theta", "a number from", "0.5"),
        (
            {"rope_scaling": {"rope_type": "default", "type": "yarn"}},
            "type",
            "",
            "yarn",
        ),
        ({"rope_scaling": {"mrope_section": [1]}}, "mrope_section", "no such", "1"),
        ({"rope_theta": 10**400}, "rope_theta", "a number from 1 to", "1000"),
    ],
)
def test_what_the_model_cannot_do_is_refused_by_name(changes, key, expected, found):
    with pytest.raises(
        CheckpointError, match=rf"{key}: expected .*{expected}.*found.*{found}"
    ):
        parse_config(CONFIG | changes), parse_stored(CONFIG | changes)


# What makes another model, by the names that families of models give it.
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("use_qk_norm", True),
        ("qk_norm", False),
        ("rope_local_base_freq", 10000.0),
        ("original_max_position_embeddings", 4096),
        ("num_experts", 8),
        ("num_local_experts", 8),
        ("logit_scale", 0.5),
        ("layer_norm_type", "layernorm"),
        ("layer_norm_eps", 1e-5),
        ("hidden_activation", "gelu"),
        ("use_sliding_window", True),
        ("layer_types", ["full_attention", "sliding_attention"]),
        ("layer_types", "full_attention"),
        ("no_rope_layers", [1, 0]),
        ("query_pre_attn_scalar", 256),
        ("per_layer_config", {"0": {}}),
        ("quantization", {"bits": 2}),
        ("compression_config", {}),
        ("kv_cache_scheme", 0),
        ("a key of tomorrow", 0),
        ("architectures", ["Qwen2ForCausalLM"]),
        ("architectures", "BitNetForCausalLM"),
        ("is_encoder_decoder", True),
    ],
)
def test_what_is_not_known_is_refused_by_name(key, value):
    with pytest.raises(CheckpointError, match=f"^config.json: {key}: expected"):
        parse_config(CONFIG | {key: value})


@pytest.mark.parametrize(
    "key", ["group_size", "bits", "activation_bits", "Linear_class", "desc_act"]
)
def test_a_key_of_quantization_that_is_not_known_is_refused_by_name(key):
    quantization = CONFIG["quantization_config"] | {key: 4}
    with pytest.raises(CheckpointError, match=f"quantization_config: {key}: expected"):
        parse_config(CONFIG | {"quantization_config": quantization})


# As the hub has it, and as transformers 5 and onebitllms write it
REAL = {
    "microsoft/bitnet-b1.58-2B-4T": CONFIG
    | {
        "auto_map": {"AutoConfig": "configuration_bitnet.BitNetConfig"},
        "initializer_range": 0.02,
        "use_cache": True,
    },
    "1bitLLM/bitnet_b1_58-large": LLAMA
    | {
        "_name_or_path": "1bitLLM/bitnet_b1_58-large",
        "architectures": ["BitnetForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "input_bits": 8,
        "pad_token_id": 32000,
        "pretraining_tp": 1,
        "rope_scaling": None,
        "torch_dtype": "float16",
        "transformers_version": "4.39.0",
        "weight_bits": 1,
    },
    "onebitllms": LLAMA
    | {
        "dtype": "bfloat16",
        "head_dim": 128,
        "layer_types": ["full_attention"] * 30,
        "mlp_bias": False,
        "rope_parameters": {"rope_theta": 1000042, "rope_type": "default"},
        "quantization_config": {
            "linear_class": "bitlinear",
            "modules_to_not_convert": ["model.embed_tokens", "lm_head", "model.norm"],
            "quant_method": "bitnet",
            "quantization_mode": "offline",
            "rms_norm_eps": 1e-6,
            "use_rms_norm": False,
        },
        "unsloth_version": "2025.4.1",
    },
    "a key that is null": CONFIG | {"a key of tomorrow": None},
}


@pytest.mark.parametrize("content", REAL.values(), ids=REAL)
def test_what_real_files_say_is_known(content):
    parse_config(content), parse_stored(content)


def test_who_is_neither_named_nor_typed_is_refused():
    content = {k: v for k, v in CONFIG.items() if k != "architectures"}
    del content["model_type"]
    with pytest.raises(CheckpointError, match="model_type: expected bitnet or llama"):
        parse_config(content)


@pytest.mark.parametrize(
    ("quantization", "divides"),
    [
        ({"quant_method": "bitnet", "offline_quantization": True}, False),
        ({"offline_quantization": True, "linear_class": "autobitlinear"}, False),
        ({"linear_class": "bitlinear"}, True),
        ({}, None),
        ({"quantization_mode": "offline"}, None),
        ({"quant_method": None}, None),
        (None, None),
    ],
)
def test_which_way_a_scale_goes_is_said_or_not(quantization, divides):
    stored = parse_stored(CONFIG | {"quantization_config": quantization})
    assert stored.scale_divides is divides


@pytest.mark.parametrize(
    ("changes", "key"),
    [
        ({"offline_quantization": False}, "offline_quantization"),
        ({"offline_quantization": "yes"}, "offline_quantization"),
        ({"offline_quantization": True, "linear_class": "bitlinear"}, "linear_class"),
        ({"quantization_mode": "later"}, "quantization_mode"),
    ],
)
def test_what_contradicts_itself_is_refused(changes, key):
    content = CONFIG | {"quantization_config": {"quant_method": "bitnet"} | changes}
    with pytest.raises(CheckpointError, match=f"quantization_config: {key}: expected"):
        parse_config(content), parse_stored(content)


MATRICES = [in_layer(layer, name) for layer in (0, 11) for name in sum(GROUPS, ())]


@pytest.mark.parametrize(
    "names",
    [
        None,
        [],
        ["lm_head"],
        ["lm_head$"],
        ["^lm_head"],
        ["model.embed_tokens", "lm_head", "model.norm"],
        ["lm_head.weight", "model.embed_tokens.weight"],
        ["model.layers.0.input_layernorm", r"model\.layers\.\d+\.mlp\.ffn_sub_norm"],
        [".*norm.*", r".*(lm_head|embed_tokens)$"],
    ],
)
def test_modules_that_are_not_ternary_may_be_left_as_they_are(names):
    keys = Keys({"modules_to_not_convert": names}, "config.json")
    refuse_unconverted(keys, [*MATRICES, "lm_head.weight", "model.norm.weight"])


@pytest.mark.parametrize(
    "name",
    [
        "q_proj",
        "mlp.down_proj",
        "model.layers.11.self_attn.o_proj",
        "model.layers.11.self_attn.o_proj.weight",
        "model.layers.0",
        "layers.0",
        "model",
        ".*gate_proj$",
        r"model\.layers\.1\d\.mlp",
        "(?:model.layers.0|lm_head)",
        "self_attn",
        "",
    ],
)
def test_a_ternary_matrix_may_not_be_left_as_it_is(name):
    keys = Keys({"modules_to_not_convert": ["lm_head", name]}, "config.json")
    with pytest.raises(
        CheckpointError, match="modules_to_not_convert: expected no ternary matrix"
    ):
        refuse_unconverted(keys, MATRICES)


@pytest.mark.parametrize(
    "names",
    [
        "lm_head",
        [7],
        ["("],
        ["a{1,99999999999999999999}"],
        ["a" * 101],
        ["lm_head"] * 101,
        ["([a-z._0-9]+)+!"],
        [".*.*.*.*!"],
    ],
)
def test_a_list_of_modules_that_is_none_is_refused_at_once(names):
    keys = Keys({"modules_to_not_convert": names}, "config.json")
    with pytest.raises(CheckpointError, match="modules_to_not_convert: expected"):
        refuse_unconverted(keys, MATRICES)


def test_end_of_text_ids_are_each_named_once_in_order():
    twice = {"eos_token_id": [5, 3, 5]}
    found = parse_config(CONFIG | twice, {"eos_token_id": [3, 9]}).eos_token_ids
    assert found == (5, 3, 9)


def test_the_shipped_config_survives_json():
    assert parse_config(json.loads(json.dumps(CONFIG))) == parse_config(CONFIG)
