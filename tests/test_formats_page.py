import importlib.util

import numpy as np
from shared import ROOT

TOOL = ROOT / "tools" / "write_atlas.py"


def test_the_atlas_is_the_one_that_its_tool_writes():
    spec = importlib.util.spec_from_file_location("write_atlas", TOOL)
    write_atlas = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(write_atlas)
    page, picture = write_atlas.make()
    assert (ROOT / "FORMATS.md").read_text(encoding="utf-8") == page
    assert (ROOT / "formats.svg").read_text(encoding="utf-8") == picture
    assert set(np.unique(write_atlas.TRITS)) == {-1, 0, 1}
    for name in write_atlas.LAYOUTS:
        codes = write_atlas.LAYOUTS[name].unpack(write_atlas.pack(name), 16, 256)
        np.testing.assert_array_equal(codes, write_atlas.TRITS)
