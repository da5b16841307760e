# DISTANCES.md is what its tool writes: every number in it is computed here again.

import importlib.util

from shared import ROOT

TOOL = ROOT / "tools" / "write_distances.py"


def test_the_page_of_distances_is_the_one_that_its_tool_writes():
    spec = importlib.util.spec_from_file_location("write_distances", TOOL)
    write_distances = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(write_distances)
    expected = (ROOT / "DISTANCES.md").read_text(encoding="utf-8")
    assert expected == write_distances.page()
