"""Choose and clean the text that the built-in model is trained on.

From a folder with the texts (see the model card for what they are and their terms) it
writes ``learn.txt`` and ``judge.txt``, documents with ``<|endoftext|>`` between them::

    python tools/prepare_stories.py FOLDER OUT

What it does:

- TinyStories with their capitals: every twenty-fifth is held out, for judging.
- TinyStories all in lower case: the half that does not repeat the other file. Capitals
  are put back where the other file says they belong.
- Fables: their language is richer, so they come as they are.
- Every other story is turned into a conversation, by the chat template: a request that
  names what the story is about, and the story for an answer.
"""

import json
import re
import sys
from collections import Counter
from pathlib import Path

import numpy as np

BETWEEN = "<|endoftext|>"
HELD_OUT_EVERY = 25
SHORTEST = 200  # characters of a story
QUOTES = str.maketrans(
    {"“": '"', "”": '"', "‘": "'", "’": "'", "…": "...", "—": "-", "–": "-"}
)
WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")
ANIMALS = (
    "ant bear bee bird bunny butterfly cat caterpillar chicken cow crab crocodile "
    "crow deer dinosaur dog dolphin donkey dragon duck eagle elephant fish fox frog "
    "giraffe goat hamster hedgehog hen hippo horse kitten ladybug lamb lion lizard "
    "monkey mouse octopus owl panda parrot peacock penguin pig pony puppy rabbit "
    "raccoon rat rooster shark sheep snail snake spider squirrel swan tiger tortoise "
    "turtle whale wolf worm zebra"
).split()
THINGS = (
    "airplane apple ball balloon banana bike boat book box bridge bus cake candy car "
    "castle cheese clock cloud cookie crayon cup doll door egg farm feather flower "
    "forest garden gift hat hill house ice island jar key king kite lake lamp leaf "
    "mountain moon mud necklace nest party pencil picture pie pirate pond present "
    "prince princess puzzle queen rain rainbow ring river robot rock rocket sandwich "
    "sea shell ship shoe sled slide snow snowman spoon star stick stone storm sun "
    "swing table toy train treasure tree truck umbrella water well wind"
).split()
REQUESTS = (
    "Tell me a story about {}.",
    "Please tell me a story about {}.",
    "Can you tell me a story about {}?",
    "Write a short story about {}.",
    "I want to hear a story about {}.",
)


def clean(text: str) -> str:
    """One story: plain quotes, single blanks, blank lines between paragraphs."""
    text = text.translate(QUOTES).encode("ascii", "ignore").decode()
    lines = (" ".join(line.split()) for line in text.splitlines())
    return "\n\n".join(line for line in lines if line)


def is_whole(story: str) -> bool:
    """Whether a story ends, and is one."""
    return len(story) >= SHORTEST and story[-1] in '.!?"'


class Capitals:
    """Where capitals belong, learned from text that has them."""

    def __init__(self, stories: list[str]) -> None:
        lower, upper = Counter(), Counter()
        for story in stories:
            for match in WORD.finditer(story):
                before = story[: match.start()].rstrip(' "')
                if not before or before[-1] in ".!?\n:":
                    continue  # a capital here says nothing
                word = match.group()
                (lower if word.islower() else upper)[word.lower()] += 1
        self.names = {word for word, n in upper.items() if n > lower[word]}

    def put_back(self, story: str) -> str:
        """A story in lower case with its capitals."""
        parts, end, starts = [], 0, True
        for match in WORD.finditer(story):
            gap, word = story[end : match.start()], match.group()
            starts = starts or bool(re.search(r'[.!?]["\s]|\n|[,:]\s"|^"', gap))
            name = word in self.names or word.split("'")[0] in self.names
            parts += [gap, word[0].upper() + word[1:] if starts or name else word]
            end, starts = match.end(), False
        return "".join(parts) + story[end:]


def letters(story: str) -> str:
    """What is left of a story without capitals, blanks and signs."""
    return re.sub("[^a-z]", "", story.lower())


def unseen(text: str, cased: list[str]) -> list[str]:
    """The stories in lower case that are not in the other file.

    They stand one behind the other, a line break between them, and repeat the other
    file up to its last story.
    """
    stories = re.split(r"(?<!\n)\n(?!\n)", text)
    places = {letters(story)[:100]: n for n, story in enumerate(stories)}
    last = places[letters(cased[-1])[:100]]
    known = {letters(story)[:100] for story in cased}
    return [
        story
        for story in map(clean, stories[last + 1 :])
        if is_whole(story)
        and letters(story)[:100] not in known
        and not re.search(r"\b(dont|wont|didnt|cant|couldnt|im|lets|thats)\b", story)
        and ('"' in story or "said" not in story)  # else its quotes were lost
    ]


def subjects(story: str) -> list[str]:
    """What a story is about: the animals and things it names most, or its hero."""
    words = Counter(word.lower() for word in WORD.findall(story))
    common = [w for w, n in words.most_common() if n >= 2 and w in {*ANIMALS, *THINGS}]
    found = [f"{'an' if word[0] in 'aeiou' else 'a'} {word}" for word in common[:2]]
    hero = re.search(r"named ([A-Z][a-z]+)", story)
    if hero and len(found) < 2:
        found.insert(0, hero.group(1))
    return found


def as_conversation(story: str, rng: np.random.Generator) -> str | None:
    """A request and the story, by the chat template of 2B4T."""
    found = subjects(story)
    if not found:
        return None
    request = str(rng.choice(REQUESTS)).format(" and ".join(found))
    return f"User: {request}<|eot_id|>Assistant: {story}<|eot_id|>"


def main(folder: Path, out: Path) -> None:
    """Write both files."""
    rng = np.random.default_rng(0)
    cased = (folder / "tinystories_truecase.txt").read_text().split(BETWEEN)
    cased = [story for story in map(clean, cased) if is_whole(story)]
    capitals = Capitals(cased)
    lower = unseen((folder / "tinystories_lowercase.txt").read_text(), cased)
    lower_stories = [capitals.put_back(story) for story in lower]
    lines = (folder / "fables.jsonl").read_text().splitlines()
    fables = [clean(json.loads(line)["text"]) for line in lines]

    judge = cased[HELD_OUT_EVERY - 1 :: HELD_OUT_EVERY]
    held_out = set(judge)
    learn = [s for s in cased + lower_stories if s not in held_out]
    learn += [fable for fable in fables if is_whole(fable)]
    documents = []
    for n in rng.permutation(len(learn)):
        conversation = as_conversation(learn[n], rng) if n % 2 else None
        documents.append(conversation or learn[n])
    out.mkdir(parents=True, exist_ok=True)
    for name, texts in (("learn.txt", documents), ("judge.txt", judge)):
        (out / name).write_text(BETWEEN.join(texts))
        print(f"{name}: {len(texts)} documents, {sum(map(len, texts))} characters")
    print(f"{len(cased)} cased, {len(lower_stories)} lower case, {len(fables)} fables")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
