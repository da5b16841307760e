"""Record what the Hugging Face backend of lm_eval answers to a few questions.

tests/evaluation/test_harness.py compares with it.

It asks the built-in model, as transformers runs it in float32 on the CPU, with either
of its two kinds of attention: how far these are apart is how near one can come. Run it
from the root of the repository, in an environment of its own (Python 3.11)::

    pip install torch==2.13.0
    pip install transformers==5.23.0 accelerate==1.15.0 lm-eval==0.4.13
    python tools/record_harness.py
"""

import json
from pathlib import Path
from types import SimpleNamespace

import torch
import transformers
from lm_eval.models.huggingface import HFLM

ROOT = Path(__file__).parents[1]
MODEL = ROOT / "minibitnet" / "stories"
OUT = ROOT / "tests" / "evaluation" / "harness.json"
STORY = (ROOT / "tests" / "story.txt").read_text().strip()

QUESTIONS = {  # what happens, and how it goes on: the first is right
    "Tom had a red ball. He threw it up high. The ball": (
        " came down and Tom caught it.",
        " ate a big green apple for lunch.",
        " said that he was sorry and went to bed.",
    ),
    "Lily was sad because she lost her doll. Her mom said,": (
        ' "Don\'t worry, we will find it."',
        " and the bird flew over the tree.",
        ' "The water is too hot for the fish."',
    ),
    "It was a cold day. Sam put on his hat and his": (
        " coat.",
        " sandwich.",
        " river.",
    ),
    "The cat was hungry. She saw a fish in the": (
        " water.",
        " sky.",
        " shoe.",
    ),
    "Once upon a time, there was a little": (
        " girl named Lily.",
        " girl green above.",
        " of the and a to.",
    ),
    "Ben and his sister went to the park. They played on the": (
        " swings and had fun.",
        " soup and were blue.",
        " night and had a phone.",
    ),
    "The dog was very happy. He wagged his ": (  # the space goes to what follows
        "tail.",
        "cup.",
        "rain.",
    ),
    "": (
        "Once upon a time, there was a boy.",
        "Upon once time a, was there boy a.",
        "The the the the the the the the.",
    ),
}
TEXTS = [
    STORY,
    f"{STORY}\n\n{STORY}\n\n{STORY}",  # more than the context holds
    "Lily and Tom went to the park with their mom.",
    'One day, a bird saw a worm. It wanted to eat it. The worm said, "No!"',
    "Quantization by absmax, one scale per token!",
]
CONTEXTS = [
    "Once upon a time",
    "The old lighthouse",
    "Tom and Lily saw a big",
    "One day, a little fox",
    "Mom said,",
    "They were happy. They said,",
]
OPTIONS = {"until": [".", "!"], "max_gen_toks": 30}
CHAT = [{"role": "user", "content": "Tell me a story about a dog."}]


def requests(arguments):
    return [SimpleNamespace(args=each) for each in arguments]


def answer(attention):
    model = transformers.AutoModelForCausalLM.from_pretrained(
        MODEL, dtype=torch.float32, attn_implementation=attention
    )
    torch.nn.Module.float(model)  # its own float() refuses, being quantized
    tokenizer = transformers.AutoTokenizer.from_pretrained(MODEL)
    backend = HFLM(model, tokenizer=tokenizer, device="cpu", batch_size=1)
    pairs = [(q, end) for q, ends in QUESTIONS.items() for end in ends]
    written = [(context, dict(OPTIONS)) for context in CONTEXTS]
    chat = backend.apply_chat_template(CHAT)
    return {
        # One at a time: among several its cache mixes up requests of which one is a
        # beginning of another.
        "loglikelihood": [
            backend.loglikelihood(requests([pair]), disable_tqdm=True)[0]
            for pair in pairs
        ],
        "rolling": backend.loglikelihood_rolling(requests((t,) for t in TEXTS)),
        "written": backend.generate_until(requests(written), disable_tqdm=True),
        "chat": chat,
        "answer": backend.generate_until(requests([(chat, dict(OPTIONS))])),
    }


def main():
    torch.set_num_threads(1)  # one order of addition
    torch.compiler.set_stance("force_eager")  # BitLinear asks for a C++ compiler
    recorded = {
        "questions": QUESTIONS,
        "texts": TEXTS,
        "contexts": CONTEXTS,
        "options": OPTIONS,
        "messages": CHAT,
        "eager": answer("eager"),
        "sdpa": answer("sdpa"),
    }
    OUT.write_text(json.dumps(recorded, indent=1) + "\n")


if __name__ == "__main__":
    main()
