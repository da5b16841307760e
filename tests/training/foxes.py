# A model so small that it learns a few sentences in a second.

from minibitnet.checkpoint.configfile import parse_config
from minibitnet.files.published import CONFIG as CONFIG_OF_2B4T
from minibitnet.training.adamw import AdamW
from minibitnet.training.loop import Settings, draw_parameters, train
from minibitnet.training.schedule import Schedule

CONTENT = CONFIG_OF_2B4T | {
    "hidden_size": 32,
    "intermediate_size": 52,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 32,
    "vocab_size": 280,
    "rope_theta": 10_000.0,
    "eos_token_id": [278, 279],
}
CONFIG = parse_config(CONTENT)
CONTEXT = 16
STORY = "The fox saw the crow. The crow had cheese. The fox wanted the cheese. "
DOCUMENTS = [STORY * n for n in (1, 2, 3, 1, 2, 3)]
SCHEDULE = Schedule(steps=40, warmup=4, high=1e-2, low=5e-3, peak_decay=0.1)


def begin(seed=5):
    return AdamW(draw_parameters(CONFIG, seed))


def steps(optimizer, row, **changes):
    settings = {"batch_size": 4, "context": CONTEXT} | changes
    return train(optimizer, CONFIG, row, Settings(SCHEDULE, **settings))


def learn(optimizer, row, **changes):  # to the end; the losses
    return [step.loss for step in steps(optimizer, row, **changes)]
