import inspect

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minibitnet import one_page, trace
from minibitnet.checkpoint import load
from minibitnet.golden.port import find_line, run_port
from minibitnet.golden.zoo import find_bug, mutate
from minibitnet.model import forward

IDS = [95, 20, 30, 4, 96]


def test_the_page_gives_the_stages_of_the_package(quirky):
    with trace() as package:
        forward(load(quirky)[0], IDS)
    page = run_port(one_page, quirky, IDS)
    assert [*page] == [*package]
    assert_array_equal(page["layers.1.down.acc"], package["layers.1.down.acc"])


def test_in_pieces_all_rows_are_there_and_the_same(quirky):
    at_once = run_port(one_page, quirky, IDS)
    in_pieces = run_port(one_page, quirky, IDS, pieces=[2, 1, 2])
    assert at_once.keys() - in_pieces.keys() == {
        "layers.0.attn_weights",
        "layers.1.attn_weights",
    }
    for name, array in in_pieces.items():
        assert_array_equal(array, at_once[name], strict=True)


def test_a_run_ends_with_the_last_stage_asked_for(quirky, monkeypatch):
    page = mutate()
    names = ["embed", "layers.0.q.rope"]
    found = run_port(page, quirky, IDS, pieces=[4, 1], names=names)
    assert_array_equal(found["layers.0.q.rope"], run_port(page, quirky, IDS)[names[1]])
    assert [*found] == names
    # What is behind is not computed: it would fail
    monkeypatch.setattr(page, "relu2", None)
    assert run_port(page, quirky, IDS, names=names) is not None
    assert run_port(page, quirky, IDS) is None


def test_a_bug_that_does_not_fit_the_shapes_cannot_run(quirky, tmp_path):
    assert run_port(mutate(find_bug("sub-norm-after-o")), quirky, IDS) is not None
    config, weights = one_page.load(quirky)
    page = mutate(find_bug("sub-norm-after-o"))
    gain = "model.layers.0.self_attn.attn_sub_norm.weight"
    page.load = lambda directory: (config, weights | {gain: weights[gain][:-1]})
    assert run_port(page, quirky, IDS) is None


def test_infinity_is_part_of_what_is_computed(loud):
    port = mutate(find_bug("float16-gate"))
    with np.errstate(all="raise"):  # of the caller, and no matter
        assert run_port(port, loud, [95, 2, 3]) is not None


def test_every_stage_is_made_in_a_line_of_the_page(quirky):
    lines = {find_line(name) for name in run_port(one_page, quirky, IDS)}
    assert len(lines) == 18
    assert all("stage(" in text for _, text in lines)
    source = inspect.getsource(one_page).splitlines()
    assert all(source[number - 1].strip() == text for number, text in lines)
    with pytest.raises(ValueError, match="expected a stage"):
        find_line("layers.0.dance")
