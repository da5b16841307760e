"""How much there is to read: code, docstrings, comments, the longest function, by file.

The trunk, what a reader goes through from the config to the next token, has a ceiling.
Raising it is a decision, to be made in the change that needs it.
"""

import ast
import io
import sys
import tokenize
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).parents[1] / "minibitnet"
TRUNK = (
    *("arrays", "config", "weights", "absmean", "absmax", "packing", "bf16", "matmul"),
    *("bitlinear", "rmsnorm", "rope", "cache", "attention", "feedforward", "model"),
    *("sampling", "decode", "bpe", "tokenizer", "stages"),
)
TRUNK_CODE = 750  # lines of code of the trunk, at most
FILE_CODE = 170  # of a file
FUNCTION = 45  # lines of a function without its docstring
PAGE = "one_page.py"  # a page of its own kind: see tests/test_one_page.py


class Size(NamedTuple):
    """Lines, by kind."""

    code: int
    docstring: int
    comment: int
    longest: int  # function, without its docstring


def docstring_of(node: ast.AST) -> range:
    """The lines of a docstring; none where there is no docstring."""
    first = next(iter(getattr(node, "body", [])), None)
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        if isinstance(first.value.value, str):
            return range(first.lineno, (first.end_lineno or first.lineno) + 1)
    return range(0)


def measure(file: Path) -> Size:
    """The lines of a file."""
    text = file.read_text(encoding="utf-8")
    documented: set[int] = set()
    longest = 0
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            documented |= {*docstring_of(node)}
        if isinstance(node, ast.FunctionDef):
            whole = (node.end_lineno or node.lineno) - node.lineno + 1
            longest = max(longest, whole - len(docstring_of(node)))
    tokens = list(tokenize.generate_tokens(io.StringIO(text).readline))
    ignored = (tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT)
    comments = sum(token.type == tokenize.COMMENT for token in tokens)
    code = {
        line
        for token in tokens
        if token.type not in (*ignored, tokenize.COMMENT, tokenize.ENDMARKER)
        for line in range(token.start[0], token.end[0] + 1)
    }
    return Size(len(code - documented), len(documented), comments, longest)


def main() -> int:
    """Print a row a file; 1 if something is over its ceiling."""
    sizes = {file: measure(file) for file in sorted(PACKAGE.rglob("*.py"))}
    print(f"{'':34} {'code':>6} {'docs':>6} {'notes':>6} {'longest':>8}")
    for file, size in sizes.items():
        name = str(file.relative_to(PACKAGE))
        print(f"{name:34} {size[0]:6} {size[1]:6} {size[2]:6} {size[3]:8}")
    trunk = [sizes[PACKAGE / f"{name}.py"] for name in TRUNK]
    for name, part in (("the trunk", trunk), ("all", list(sizes.values()))):
        code, docs, notes, longest = zip(*part, strict=True)
        print(f"{name:34} {sum(code):6} {sum(docs):6} {sum(notes):6} {max(longest):8}")
    total, over = sum(size.code for size in trunk), []
    if total > TRUNK_CODE:
        over.append(f"the trunk has {total} lines of code")
    for file, size in sizes.items():
        if file.name != PAGE and size.code > FILE_CODE:
            over.append(f"{file.name} has {size.code} lines of code")
        if file.name != PAGE and size.longest > FUNCTION:
            over.append(f"a function in {file.name} has {size.longest} lines")
    for fault in over:
        print(f"over its ceiling: {fault}", file=sys.stderr)
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
