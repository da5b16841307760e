"""What config.json may say: each key that is known, and which values of it.

A key that nobody reads may be the one that makes another model of these weights: a
scaled RoPE, a norm of queries and keys, a factor on the logits. All the numbers would
still come out, and be wrong. So the keys that are understood are listed here, and any
other is refused by name.

Notes
-----
The keys that say nothing about the numbers, such as how a model was trained or how
transformers is to return its results, are in the list with any value. A key that is
null counts as missing. Whoever has a key that is not in the list and knows that it
changes nothing takes it out of the file.

References
----------
Hugging Face transformers, ``PreTrainedConfig``, ``LlamaConfig``, ``BitNetConfig`` and
``BitNetQuantConfig``; config.json of microsoft/bitnet-b1.58-2B-4T and of
1bitLLM/bitnet_b1_58-large.

Examples
--------
>>> from minibitnet.files.published import CONFIG
>>> refuse_unknown(Keys(CONFIG | {"use_cache": True, "mlp_bias": False}, "config.json"))
>>> refuse_unknown(Keys(CONFIG | {"qk_norm": True}, "config.json"))
Traceback (most recent call last):
    ...
minibitnet.files.jsonfile.CheckpointError: config.json: qk_norm: expected
no such key (not supported; if it changes no number, take it out), found True
"""

import re
from collections.abc import Iterable, Mapping

from minibitnet.files.jsonfile import Keys
from minibitnet.weights import is_ternary

# What `minibitnet.checkpoint.configfile` reads, and checks there.
READ = set(
    """
    architectures eos_token_id head_dim hidden_act hidden_size intermediate_size
    layer_types max_position_embeddings model_type num_attention_heads num_hidden_layers
    num_key_value_heads quantization_config rms_norm_eps rope_parameters rope_scaling
    rope_theta tie_word_embeddings vocab_size
    """.split()
)
# What changes no number: names, training, how transformers loads, returns and draws.
HARMLESS = set(
    """
    _attn_implementation _attn_implementation_autoset _commit_hash _name_or_path
    attention_dropout attn_implementation auto_map begin_suppress_tokens bos_token_id
    chunk_size_feed_forward custom_pipelines decoder_start_token_id diversity_penalty
    do_sample dtype early_stopping encoder_no_repeat_ngram_size
    exponential_decay_length_penalty finetuning_task forced_bos_token_id
    forced_eos_token_id bad_words_ids hidden_dropout id2label initializer_range label2id
    length_penalty max_length min_length name_or_path no_repeat_ngram_size
    num_beam_groups num_beams num_labels num_return_sequences output_attentions
    output_hidden_states output_scores pad_token_id prefix problem_type
    remove_invalid_values repetition_penalty return_dict return_dict_in_generate
    sep_token_id suppress_tokens task_specific_params temperature tf_legacy_loss
    tie_encoder_decoder tokenizer_class top_k top_p torch_dtype torchscript
    transformers_version typical_p unsloth_fixed unsloth_version use_bfloat16 use_cache
    """.split()
)
# What the forward pass here does not have, and the values that ask for nothing.
LIMITED: dict[str, tuple[object, ...]] = {
    "add_cross_attention": (False,),
    "attention_bias": (False,),
    "attention_multiplier": (),
    "attn_logit_softcapping": (),
    "cross_attention_hidden_size": (),
    "embedding_multiplier": (1.0,),
    "final_logit_softcapping": (),
    "input_bits": (8,),
    "is_decoder": (False, True),
    "is_encoder_decoder": (False,),
    "logits_scaling": (1.0,),
    "mlp_bias": (False,),
    "partial_rotary_factor": (1.0,),
    "pretraining_tp": (1,),
    "pruned_heads": ({},),
    "residual_multiplier": (1.0,),
    "sliding_window": (),
    "use_sliding_window": (False,),
    "weight_bits": (1, 2),
}
QUANTIZATION_READ = {"linear_class", "modules_to_not_convert", "offline_quantization"}
QUANTIZATION_HARMLESS = {"rms_norm_eps"}  # of `use_rms_norm`
QUANTIZATION_LIMITED: dict[str, tuple[object, ...]] = {
    "quant_method": ("bitnet",),
    "quantization_mode": ("offline", "online"),
    "use_rms_norm": (False,),
}
MOST_PATTERNS = 100
LONGEST_PATTERN = 100
MOST_REPEATS = 3  # with more, a regular expression can take longer than anybody waits
REPEATS = re.compile(r"[*+{]")
REPEATED_GROUP = re.compile(r"\)[*+?{]")  # so can one that repeats a group


def refuse_unknown(keys: Keys) -> None:
    """Refuse a config.json with a key or a value that is not understood."""
    refuse_others(keys, READ | HARMLESS, LIMITED)
    quantization = keys.inside("quantization_config")
    free = QUANTIZATION_READ | QUANTIZATION_HARMLESS
    refuse_others(quantization, free, QUANTIZATION_LIMITED)


def refuse_others(
    keys: Keys, free: Iterable[str], limited: Mapping[str, tuple[object, ...]]
) -> None:
    """Refuse each key but those that are free, and those limited to a few values."""
    for key in keys.content:
        value = keys.get(key, None)
        if value is None or key in free:
            continue
        if key not in limited:
            keys.fail(
                key,
                "no such key (not supported; if it changes no number, take it out)",
                value,
            )
        allowed = limited[key]
        if value not in allowed:
            expected = " or ".join(["nothing", *map(repr, allowed)])
            keys.fail(key, f"{expected} (not supported)", value)


def refuse_unconverted(keys: Keys, names: Iterable[str]) -> None:
    """Refuse a list of modules left in full precision if a ternary matrix is in it.

    `keys` are those of ``quantization_config``, `names` those of the file's arrays. A
    list may name modules as any version of transformers understands it: by a part of
    the name, or by a regular expression from its beginning.
    """
    key = "modules_to_not_convert"
    matrices = [name for name in names if is_ternary(name)]
    for pattern in _patterns(keys, key):
        for name in matrices:
            module = name.removesuffix(".weight")
            if pattern in name or re.match(pattern, module):
                keys.fail(key, f"no ternary matrix ({module} is one)", pattern)


def _patterns(keys: Keys, key: str) -> list[str]:
    """The names in a list of modules, each sound as a regular expression."""
    patterns = keys.get(key, [])
    if not isinstance(patterns, list) or len(patterns) > MOST_PATTERNS:
        keys.fail(key, f"a list of at most {MOST_PATTERNS} names", patterns)
    for pattern in patterns:
        if not isinstance(pattern, str) or len(pattern) > LONGEST_PATTERN:
            keys.fail(key, f"names of at most {LONGEST_PATTERN} characters", pattern)
        repeats = len(REPEATS.findall(pattern))
        if repeats > MOST_REPEATS or REPEATED_GROUP.search(pattern):
            keys.fail(key, "a name or a simpler regular expression", pattern)
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            keys.fail(key, f"a regular expression ({error})", pattern)
    return patterns
