"""Write the teachers' answer sheet, notebooks/solutions/README.md.

The questions are those of the notebooks, the answers those of solutions/, and the
mistakes those that the checks know by name.

Use: python tools/write_answers.py
"""

import ast
import importlib
import re
from pathlib import Path

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
HEAD = """# Answers

For teachers: each exercise with its question, an answer, and the mistakes that its
check knows by name. `tools/write_answers.py` writes this page from the notebooks, the
files beside it and the checks; `minibitnet course --solutions` copies it, too.
"""


def sheet() -> str:
    """The whole page."""
    sources = sorted(NOTEBOOKS.glob("[0-9]*.py"))
    return "\n".join([HEAD, *(part(source) for source in sources)])


def part(source: Path) -> str:
    """The exercises of a notebook."""
    text = source.read_text("utf-8")
    title = re.search(r"^# # (.*)", text, re.M).group(1)
    exercises = text.split("# ## Exercises")[1].split("# ## Summary")[0]
    checks = importlib.import_module(f"minibitnet.course.{source.stem[3:]}")
    answers = read_answers(NOTEBOOKS / "solutions" / source.name)
    lines = [f"## [{title}](../{source.stem}.ipynb)", ""]
    for question, rest in questions(exercises):
        [name] = re.findall(r"check_(\w+)\(", rest)
        lines += [question, "", "```python", answers[name], "```", ""]
        lines += [f"- {hint}" for hint in getattr(checks, f"check_{name}").mistakes]
        lines.append("")
    return "\n".join(lines)


def questions(exercises: str) -> list[tuple[str, str]]:
    """Each question and what stands behind it up to the next."""
    blocks = re.split(r"^# (?=\*\*\d\.\*\*)", exercises, flags=re.M)[1:]
    found = []
    for block in blocks:
        question, rest = block.split("\n\n", 1)
        found.append((question.replace("\n# ", "\n").replace("](", "](../"), rest))
    return found


def read_answers(file: Path) -> dict[str, str]:
    """The source of each name that a file of solutions defines, with its comment."""
    text = file.read_text("utf-8")
    lines = text.splitlines()
    answers = {}
    for node in ast.parse(text).body:
        if isinstance(node, ast.FunctionDef):
            name = node.name
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
        else:
            continue
        start = node.lineno - 1
        while lines[start - 1].startswith("#"):
            start -= 1
        answers[name] = "\n".join(lines[start : node.end_lineno])
    return answers


if __name__ == "__main__":
    (NOTEBOOKS / "solutions" / "README.md").write_text(sheet(), "utf-8")
