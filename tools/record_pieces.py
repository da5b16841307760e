"""Record what SentencePiece makes of some texts: tests/pieces.json.

It takes `pip install sentencepiece`. A small tokenizer of the kind of Llama 2 is
trained on tests/story.txt, and its pieces, scores and kinds are written down as a GGUF
file has them.
"""

import json
import random
import tempfile
from pathlib import Path

import sentencepiece

ROOT = Path(__file__).resolve().parent.parent
LETTERS = [*"ab  \n\té€😀aeiou▁.", "the", " and", "<s"]


def train(folder):
    sentencepiece.SentencePieceTrainer.train(
        input=str(ROOT / "tests" / "story.txt"),
        model_prefix=f"{folder}/pieces",
        vocab_size=400,
        model_type="bpe",
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_file=f"{folder}/pieces.model")


def kind(model, i):
    if model.is_unknown(i):
        return 2
    return 3 if model.is_control(i) else 6 if model.is_byte(i) else 1


def main():
    draw = random.Random(0)
    texts = ["", " ", "Once upon a time", "  two\n\nlines ", "naïve 😀"]
    texts += ["".join(draw.choices(LETTERS, k=12)) for _ in range(40)]
    with tempfile.TemporaryDirectory() as folder:
        model = train(folder)
    ids = range(model.vocab_size())
    page = {
        "tokens": [model.id_to_piece(i) for i in ids],
        "scores": [model.get_score(i) for i in ids],
        "kinds": [kind(model, i) for i in ids],
        "texts": [
            [text, model.encode(text), model.decode(model.encode(text))]
            for text in texts
        ],
    }
    out = ROOT / "tests" / "pieces.json"
    out.write_text(json.dumps(page, ensure_ascii=True) + "\n")


main()
