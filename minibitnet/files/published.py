"""What is published about microsoft/bitnet-b1.58-2B-4T: its identity and its answers.

The weights are 1.2 GB, too large for a repository; their hash, and what the model
says to a few prompts, fit on a page. With these a user's copy of the weights can be
checked, and this package against the model's own record.

Notes
-----
The logits and the greedy text were published by transformers, which computes in
bfloat16 and multiplies dequantized numbers; the contract here is exact integers and
float32. Expect the same text and logits that agree to a few parts in a hundred, not
equality.

References
----------
Hugging Face transformers, tests/models/bitnet/test_modeling_bitnet.py (Apache-2.0),
from which the ids, logits and text are; hashes: the model's page on the hub.
"""

from typing import Any

HUB_ID = "microsoft/bitnet-b1.58-2B-4T"
REVISION = "04c3b9ad9361b824064a1f25ea60a8be9599b127"
GGUF_HUB_ID = "microsoft/bitnet-b1.58-2B-4T-gguf"
GGUF_FILE = "ggml-model-i2_s.gguf"
GGUF_SHA256 = "4221b252fdd5fd25e15847adfeb5ee88886506ba50b8a34548374492884c2162"
PINNED_REVISIONS = {
    HUB_ID: REVISION,
    GGUF_HUB_ID: "a1f2f1c765812aa8af3f6eda4a313707064bba15",
}

WEIGHTS_BYTES = 1_178_623_988
WEIGHTS_SHA256 = "8143ae115ed6babe5e5ada8fb8c5b769d8f417802b2db042ad98b4f7ed73975b"
HEADER_SHA256 = "d1b503b9c09187b74f230df73cb0b18a5567d0732e9bf1e4b65317f4af0d040a"
FILES_SHA256 = {
    "config.json": "2b43e80788972e6d53967b01ac3609d7df23cf0aabb0c866e51be694a59c1149",
    "generation_config.json": (
        "af34a37cd006fd230106fcefc6bfdc1f775503aee05a80c174ccc5c6594f7054"
    ),
    "tokenizer.json": (
        "e134af98b985517b4f068e3755ae90d4e9cd2d45d328325dc503f1c6b2d06cc7"
    ),
    "tokenizer_config.json": (
        "d27b698683435b0b0dd544a591a30196b2b63f5fd4c8c64b9060a84dc185386f"
    ),
}

# chat_template in tokenizer_config.json
CHAT_TEMPLATE = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = message['role'] | capitalize + ': '+ message['content'] | trim"
    " + '<|eot_id|>' %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'Assistant: ' }}{% endif %}"
)

# config.json and generation_config.json, less the keys that no forward pass reads
CONFIG: dict[str, Any] = {
    "architectures": ["BitNetForCausalLM"],
    "bos_token_id": 128000,
    "eos_token_id": 128001,
    "hidden_act": "relu2",
    "hidden_size": 2560,
    "intermediate_size": 6912,
    "max_position_embeddings": 4096,
    "model_type": "bitnet",
    "num_attention_heads": 20,
    "num_hidden_layers": 30,
    "num_key_value_heads": 5,
    "quantization_config": {
        "linear_class": "autobitlinear",
        "quant_method": "bitnet",
        "quantization_mode": "offline",
    },
    "rms_norm_eps": 1e-05,
    "rope_theta": 500000.0,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
    "vocab_size": 128256,
}
GENERATION_CONFIG: dict[str, Any] = {
    "bos_token_id": 128000,
    "eos_token_id": [128001, 128009],
    "do_sample": True,
    "temperature": 0.6,
    "max_length": 4096,
    "top_p": 0.9,
}

# How many of the 2,084,044,800 ternary weights are -1, 0 and +1
CODE_COUNTS = {-1: 602_163_685, 0: 879_693_294, +1: 602_187_821}
SCALE_RANGE = (0.74609375, 4.59375)  # smallest and largest of the 210 weight_scale

# Logits of these ids: their mean at each position, and the first 30 at position 0
LOGITS_IDS = (128000, 128000, 1502, 25, 2650, 527, 499, 30, 128009, 72803, 25, 220)
MEAN_LOGITS = (
    *(-1.8665, -1.7681, -1.7043, 3.7446, 2.7730, 4.7133),
    *(0.9768, -3.5018, -12.2812, -8.1477, -10.2571, -8.7610),
)
FIRST_LOGITS = (
    *(5.5815, 4.9154, 1.0478, 4.3869, 3.0112, 0.8235, 3.8412, 2.9233, 8.1140, 1.9406),
    *(1.7973, 10.5025, 4.7796, 8.5926, 4.5196, 3.1549, 3.2656, 3.2588, 2.7356, 2.6032),
    *(2.1454, 1.5683, 1.3465, 1.5329, 1.1886, 7.7902, 5.9326, 1.4737, 3.3319, 1.6291),
)
GREEDY_QUESTION = "What is your favourite food?"
GREEDY_ANSWER = (
    "As an AI, I don't have personal preferences or the ability to eat food. However, I"
)
