# A fingerprint goes by the codes, whatever kind of file they are in.

import pytest
from test_fromgguf import IDS, WIDE, arrays_of, load, metadata_of, write

import minibitnet as mb
from minibitnet.checkpoint.synth import write_checkpoint
from minibitnet.golden.fingerprints import fingerprint
from minibitnet.golden.matching import match


@pytest.mark.parametrize("layout", ["i2_s", "tq1_0", "tq2_0"])
def test_a_gguf_file_of_the_same_codes_has_the_same_hashes(tmp_path, layout):
    directory = write_checkpoint(tmp_path / "wide", WIDE, seed=4)
    model, _ = mb.load(directory)
    metadata, arrays = metadata_of(model.config), arrays_of(directory, layout)
    gguf = load(write(tmp_path / "m.gguf", metadata, arrays))
    parts = match(fingerprint(model, IDS), gguf, None)
    assert [part.line() for part in parts if part.differ] == []
