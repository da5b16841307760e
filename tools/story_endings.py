r"""A multiple-choice task of story endings, made from stories and given to a model.

Each question is a story without its last sentence. Of four sentences to choose from one
is its own, the others end the stories after it in the file. Whoever guesses finds a
quarter. From the text that the built-in model was not trained on
(`tools/prepare_stories.py`)::

    python tools/story_endings.py judge.txt ENDINGS

It writes into the folder ENDINGS

- ``held_out.txt``, the stories with blank lines between them, for ``minibitnet
  perplexity ENDINGS/held_out.txt``;
- ``story_endings.jsonl`` and ``story_endings.yaml``, a task for lm-evaluation-harness::

      python -m minibitnet.evaluation.harness --model minibitnet \
          --include_path ENDINGS --tasks story_endings

and prints what the second command finds; for that the harness need not be installed.
"""

import json
import math
import re
import sys
from pathlib import Path
from types import SimpleNamespace

from minibitnet.evaluation.harness import Adapter
from minibitnet.training.texts import read_documents

CHOICES = 4
SENTENCE = re.compile(r'(?<=[.!?"])\s+(?=["A-Z])')  # where one ends and another begins
TASK = """\
task: story_endings
dataset_path: json
dataset_kwargs:
  data_files:
    test: {data}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{story}}}}"
doc_to_choice: endings
doc_to_target: right
metric_list:
  - metric: acc
  - metric: acc_norm
"""


def part(story):
    """A story up to its last sentence, and that sentence; none if it has but one."""
    ends = list(SENTENCE.finditer(story))
    return (story[: ends[-1].start()], story[ends[-1].end() :]) if ends else None


def make_questions(stories):
    """Of each story a question; the place of the right answer goes round."""
    parts = [found for found in map(part, stories) if found]
    for n, (story, ending) in enumerate(parts):
        others = [other for _, other in parts[n + 1 :] + parts[:n]]
        wrong = [other for other in dict.fromkeys(others) if other != ending]
        endings = wrong[: CHOICES - 1]
        endings.insert(n % CHOICES, ending)
        yield {"story": story, "endings": endings, "right": n % CHOICES}


def measure(adapter, questions):
    """Shares of right choices: by log-probability, and by that of a character.

    The second does not prefer short endings; the harness calls them acc and acc_norm.
    """
    asked = [
        SimpleNamespace(args=(question["story"], " " + ending))
        for question in questions
        for ending in question["endings"]
    ]
    found = [logprob for logprob, _ in adapter.loglikelihood(asked)]
    right = [0, 0]
    for n, question in enumerate(questions):
        scores = found[n * CHOICES : (n + 1) * CHOICES]
        lengths = map(len, question["endings"])
        by_length = [score / n for score, n in zip(scores, lengths, strict=True)]
        for kind, each in enumerate((scores, by_length)):
            right[kind] += each.index(max(each)) == question["right"]
    return [count / len(questions) for count in right]


def standard_error(share, n):
    """How far a share of n questions may be off by chance."""
    return math.sqrt(share * (1 - share) / (n - 1))


def write(stories, questions, folder):
    """The text and the task."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "held_out.txt").write_text("\n\n".join(stories) + "\n")
    data = folder / "story_endings.jsonl"
    data.write_text("".join(json.dumps(question) + "\n" for question in questions))
    (folder / "story_endings.yaml").write_text(TASK.format(data=data.resolve()))


def main(file, folder):
    stories = read_documents([file])
    questions = list(make_questions(stories))
    write(stories, questions, folder)
    for name, share in zip(
        ("acc", "acc_norm"), measure(Adapter(), questions), strict=True
    ):
        error = standard_error(share, len(questions))
        print(f"{name:9} {share:.4f} +/- {error:.4f}  ({len(questions)} questions)")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
