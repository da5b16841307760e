"""Write notebooks/data/told.txt: 227 stories that the built-in model tells.

Notebook 16 trains its two small models on them. The same stories come out on every
machine (README, "Exact in what sense"), in some minutes.

    python tools/tell_stories.py
"""

from pathlib import Path

from tqdm import tqdm

import minibitnet as mb

OUT = Path(__file__).parents[1] / "notebooks" / "data" / "told.txt"
BYTES = 150_000
OPENINGS = [
    "Once upon a time",
    "One day",
    "There was",
    "In a",
    "A little girl",
    "A little boy",
    "Tom",
    "Lily",
    "The",
]
SAMPLING = {"max_new_tokens": 250, "temperature": 0.8, "top_p": 0.95}


def main():
    model, tokenizer = mb.load()
    stories, size, seed = [], 0, 0
    with tqdm(total=BYTES, unit="B") as bar:
        while size < BYTES:
            ids = tokenizer.encode(OPENINGS[seed % len(OPENINGS)])
            ids += mb.generate(model, ids, seed=seed, **SAMPLING)
            seed += 1
            if ids[-1] not in model.config.eos_token_ids:
                continue  # a story that was cut off
            stories.append(tokenizer.decode(ids).strip())
            size += len(stories[-1].encode()) + 2
            bar.update(len(stories[-1].encode()) + 2)
    OUT.write_text("\n\n".join(stories) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
