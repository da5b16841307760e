"""The config.json of two small models: one as 2B4T is, one as Llama."""

from minibitnet.files.published import CONFIG

# Every letter another number, and matrices whose rows are no multiple of 4
SMALL = CONFIG | {
    "hidden_size": 40,
    "intermediate_size": 50,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 6,
    "vocab_size": 97,
    "max_position_embeddings": 64,
    "bos_token_id": 95,
    "eos_token_id": 96,
}
# No sub-norms, SiLU, a head of its own, scales that divide
SMALL_LLAMA = SMALL | {
    "architectures": ["LlamaForCausalLM"],
    "model_type": "llama",
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "quantization_config": {"quant_method": "bitnet", "linear_class": "bitlinear"},
}
