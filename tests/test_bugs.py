import importlib.util

from shared import ROOT

TOOL = ROOT / "tools" / "write_bugs.py"


def test_the_page_of_bugs_is_the_one_that_its_tool_writes():
    spec = importlib.util.spec_from_file_location("write_bugs", TOOL)
    write_bugs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(write_bugs)
    assert (ROOT / "BUGS.md").read_text(encoding="utf-8") == write_bugs.page()
    assert write_bugs.link("a/b#7, there") == (
        "[a/b#7](https://github.com/a/b/issues/7), there"
    )
    assert write_bugs.link("a/b@0af") == "[a/b@0af](https://github.com/a/b/commit/0af)"
