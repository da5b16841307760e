"""Write BUGS.md: the bugs of the zoo, for people to read.

Use: python tools/write_bugs.py
"""

import re
from pathlib import Path

from minibitnet.golden.zoo import KINDS, Bug
from minibitnet.golden.zoo.bug import Change, diff

PAGE = Path(__file__).parents[1] / "BUGS.md"
HEAD = """# Forty-three ways to get it wrong

Mistakes that real ports of BitNet and of its relatives made, each as the line of [one_page.py](minibitnet/one_page.py)
that it changes (two of the tokenizer as a line of [bpe.py](minibitnet/bpe.py)), and, if it reads another layout wrongly, as a line of that layout's own module, with the place where somebody met it. Few of them crash. Most leave a
model that says something, some one that speaks fluently, and that is why each has its first stage: the first array that is not the page's.

```console
$ minibitnet diagnose PORT --model DIR --ids 128000,9906,11
```

tries them all on what a port computed, and pairs of them where one is not enough, and says which it is. PORT is what there is: a trace
or a part of it, one layer, the logits, what `llama-eval-callback` prints, a text of numbers. [golden/diagnose.py](minibitnet/golden/diagnose.py) says how.

This page is written by `tools/write_bugs.py` from [golden/zoo/](minibitnet/golden/zoo), which also says what is not in it.
"""
REFERENCE = re.compile(r"([\w.-]+/[\w.-]+)(?:#(\d+)|@([0-9a-f]+))?")


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for kind, bugs in KINDS.items():
        parts += [f"## {kind}\n", *map(entry, bugs)]
    return "\n".join(parts)


def entry(bug: Bug) -> str:
    """What there is to say of a bug."""
    changes = [line for each in (bug, *bug.layouts) for line in hunk(each)]
    return "\n".join(
        [
            f"### {bug.name}\n",
            f"{bug.symptom}\n",
            "```diff",
            *changes,
            "```\n",
            f"First stage: `{bug.first_stage}`. Look for {bug.look_for}",
            f"Met in {link(bug.where)}.\n",
        ]
    )


def hunk(bug: Bug | Change) -> list[str]:
    """The lines that a bug changes, as a diff has them."""
    line, right, wrong = diff(bug)
    changes = [f"-{text}" for text in right] + [f"+{text}" for text in wrong]
    return [f"@@ {bug.module.replace('.', '/')}.py:{line} @@", *changes]


def link(where: str) -> str:
    """A reference as a link to GitHub."""
    repository, number, commit = REFERENCE.match(where).groups()
    end = f"/issues/{number}" if number else f"/commit/{commit}" if commit else ""
    found = REFERENCE.match(where)[0]
    return f"[{found}](https://github.com/{repository}{end}){where[len(found) :]}"


if __name__ == "__main__":
    PAGE.write_text(page(), "utf-8")
