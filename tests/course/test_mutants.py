"""No answer that was changed in one place passes its check, unless it is as right."""

import importlib.util

import pytest
from shared import ROOT

spec = importlib.util.spec_from_file_location(
    "mutate_solutions", ROOT / "tools" / "mutate_solutions.py"
)
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)
FILES = sorted(tool.SOLUTIONS.glob("[0-9]*.py"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_no_mutant_passes_its_check(file):
    for name, passed in tool.tried(file):
        assert len(passed) > 10
        assert tool.faults(name, passed) == []


def test_a_mutant_that_passes_and_one_that_is_listed_in_vain_are_faults(monkeypatch):
    passed = {"a -> b": [True], "1 -> 2": [False], "c -> d": [True, False]}
    monkeypatch.setattr(tool, "EQUIVALENT", {"x": {"1 -> 2": "", "e -> f": ""}})
    assert tool.faults("x", passed) == [
        "passes: a -> b",
        "passes: c -> d",
        "is caught: 1 -> 2",
        "is no mutant: e -> f",
    ]


def test_a_loop_that_does_not_end_is_stopped():
    [function] = tool.ast.parse("def f(n):\n    while True:\n        n += 1").body
    with pytest.raises(StopIteration):
        tool.compiled(function, {})(0)
