"""Put a trained model into the package, and write its card.

From the directory that ``minibitnet train`` made, and the text it was judged by::

    pip install '.[notebooks]'
    python tools/write_model_card.py TRAINED judge.txt minibitnet/stories

It copies the packed model, makes its fingerprint, thins the log out, draws the curve,
and computes every number of the card. The samples are the first ones, by seeds 0, 1, 2:
none is picked.
"""

import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import story_endings

import minibitnet as mb
from minibitnet.evaluation.costs import count_weights
from minibitnet.evaluation.harness import Adapter
from minibitnet.evaluation.perplexity import Estimate, chunks, score_end
from minibitnet.evaluation.score import bits_per_byte
from minibitnet.golden.fingerprintfile import FILE, to_json
from minibitnet.golden.fingerprints import choose_ids, fingerprint
from minibitnet.training.state import LOG
from minibitnet.training.texts import read_documents

FILES = (
    "config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
)
SAMPLING = {"max_new_tokens": 320, "temperature": 0.7, "top_p": 0.9}
BEGINNINGS = ("Once upon a time", "The old lighthouse")
REQUESTS = ("Tell me a story about a fox and a crow.", "What is seven times eight?")
SEEDS = range(3)
TEMPLATE = Path(__file__).with_name("model_card_template.md")


def thin(log, out):
    """Keep the lines that tell of the codes, with the mean loss up to each."""
    kept, losses = [], []
    for line in log.read_text().splitlines():
        report = json.loads(line)
        losses.append(report["loss"])
        if "codes" in report:
            report["loss"] = round(float(np.mean(losses)), 5)
            report["codes"] = {
                name: [round(share, 4) for share in shares]
                for name, shares in report["codes"].items()
            }
            losses.clear()
            kept.append(report)
    out.write_text("".join(json.dumps(report) + "\n" for report in kept))
    return kept


def draw(reports, file):
    import matplotlib.pyplot as plt

    steps = [report["step"] + 1 for report in reports]
    figure, (above, below) = plt.subplots(
        2, 1, figsize=(7, 5), sharex=True, layout="constrained", height_ratios=[3, 2]
    )
    above.plot(steps, [r["loss"] / math.log(2) for r in reports], "C0")
    above.set(ylabel="loss, bits per token\n(mean between two points)")
    rates = above.twinx()
    rates.plot(steps, [r["rate"] for r in reports], "C7:", lw=1)
    rates.set_ylabel("learning rate (dotted)")
    for name in reports[0]["codes"]:
        below.plot(
            steps, [r["codes"][name][1] for r in reports], "C1", lw=0.7, alpha=0.5
        )
    below.set(xlabel="step", ylabel="share of zeros\n(a line for each matrix)")
    above.grid(alpha=0.3)
    below.grid(alpha=0.3)
    figure.savefig(file, dpi=110)


def quote(text):
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def samples(model, tokenizer):
    for beginning in BEGINNINGS:
        for seed in SEEDS:
            ids = tokenizer.encode(beginning)
            new = list(mb.generate(model, ids, seed=seed, **SAMPLING))
            text = quote(tokenizer.decode(ids + new))
            yield f"`{beginning}`, seed {seed}:\n\n{text}"
    for request in REQUESTS:
        for seed in SEEDS:
            ids = tokenizer.chat([{"role": "user", "content": request}])
            new = list(mb.generate(model, ids, seed=seed, **SAMPLING))
            text = quote(tokenizer.decode(new))
            yield f"Asked `{request}`, seed {seed}:\n\n{text}"


def measure(out, judge):
    """What the card says of stories held out."""
    model, tokenizer = mb.load(out)
    text = tokenizer.inner.encode_ordinary("\n\n".join(judge))
    ids, context = [*tokenizer.bos_ids, *text], model.config.max_position_embeddings
    windows = chunks(ids, context, tokenizer.bos_ids)
    estimate = Estimate.of(score_end(model, window) for window in windows)
    questions = list(story_endings.make_questions(judge))
    endings = story_endings.measure(Adapter(out), questions)
    errors = [story_endings.standard_error(e, len(questions)) for e in endings]
    return {
        "cost": bits_per_byte(model, tokenizer, judge),
        "judged": len(judge),
        "perplexity": estimate.perplexity,
        "perplexity_error": estimate.perplexity_error,
        "endings": endings,
        "endings_error": errors,
    }


def main(trained, judge_file, out):
    out.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        shutil.copy(trained / name, out / name)
    logged = (trained / LOG).read_text().splitlines()
    hours = sum(json.loads(line)["seconds"] for line in logged) / 3600
    reports = thin(trained / LOG, out / "training.jsonl")
    draw(reports, out / "training.png")
    model, tokenizer = mb.load(out)
    made = to_json(fingerprint(model, *choose_ids(model, tokenizer)))
    (out / FILE).write_text(made)
    zeros = [shares[1] for shares in reports[-1]["codes"].values()]
    weights = count_weights(model.config)
    card = TEMPLATE.read_text().format(
        config=model.config,
        ternary=weights.ternary,
        embedding=weights.embedding,
        size=(out / "model.safetensors").stat().st_size,
        steps=len(logged),
        hours=hours,
        **measure(out, read_documents([judge_file])),
        last=reports[-1]["loss"] / math.log(2),
        few=min(zeros),
        many=max(zeros),
        samples="\n\n".join(samples(model, tokenizer)),
    )
    (out / "MODEL_CARD.md").write_text(card)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
