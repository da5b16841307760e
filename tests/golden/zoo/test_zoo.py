import importlib
import inspect
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from minibitnet import bpe, one_page
from minibitnet.golden.names import IN_A_BLOCK
from minibitnet.golden.port import run_port
from minibitnet.golden.zoo import ZOO, find_bug, mutate
from minibitnet.golden.zoo.bug import diff
from minibitnet.packing import pack
from minibitnet.stories import BUILT_IN

RECORDED = Path(__file__).parents[2] / "recorded"
OF_THE_PAGE = [bug for bug in ZOO if bug.module == "minibitnet.one_page"]
OF_STAGES = [bug for bug in OF_THE_PAGE if bug.first_stage != "generate"]
# What a model has nothing for: no masters, no head of its own, no numbers so loud
MASTERS = {"sign-weights", "truncated-weights"}
UNTIED = {"head-always-tied"}
TAME = {"half-away", "half-up", "zero-row", "int16-sums"}
SILENT = {
    "built-in": MASTERS | UNTIED | TAME | {"theta-10000"},  # its own theta
    "quirky": MASTERS | UNTIED | TAME,
}
CASES = [(model, bug) for model in SILENT for bug in OF_STAGES]
CASES += [("master", find_bug(name)) for name in sorted(MASTERS)]
CASES += [("loud", find_bug(name)) for name in sorted(TAME)]
CASES += [("untied", find_bug(name)) for name in sorted(UNTIED)]

each = pytest.mark.parametrize("bug", ZOO, ids=lambda bug: bug.name)


@pytest.fixture
def models(quirky, loud):
    """By name, a directory and tokens to read."""
    return {
        "built-in": (BUILT_IN, [4093, 300, 301, 302, 303]),
        "quirky": (quirky, [95, 20, 30, 4, 96]),
        "loud": (loud, [95, 2, 1, 3, 5]),
        "master": (RECORDED / "master_tied", [52, 3, 20, 4]),
        "untied": (RECORDED / "packed_untied", [52, 3, 20, 4]),
    }


def first_difference(bug, directory, ids):
    """The first stage to differ, in a layer without its prefix; None if none does."""
    pieces = [len(ids) - 2, 1, 1] if bug.name.startswith("position-") else ()
    right = run_port(one_page, directory, ids, pieces)
    port = run_port(mutate(bug), directory, ids, pieces)
    for name in right:
        if name in port and not np.array_equal(right[name], port[name], equal_nan=True):
            return name.removeprefix("layers.0.")
    return None


@pytest.mark.parametrize(
    ("model", "bug"), CASES, ids=[f"{model}-{bug.name}" for model, bug in CASES]
)
def test_a_bug_shows_first_where_its_row_says(model, bug, models):
    silent = bug.name in SILENT.get(model, ())
    expected = None if silent else bug.first_stage
    assert first_difference(bug, *models[model]) == expected


def test_an_answer_with_one_end_only_does_not_stop(tmp_path, quirky):
    for file in quirky.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    right, wrong = one_page, mutate(find_bug("one-end-only"))
    ids = [95, 20, 21]
    new = right.generate(*right.load(tmp_path), ids, 4)
    ends = {"eos_token_id": [96, new[1]]}
    (tmp_path / "generation_config.json").write_text(json.dumps(ends))
    assert len(right.generate(*right.load(tmp_path), ids, 4)) == 2
    assert len(wrong.generate(*wrong.load(tmp_path), ids, 4)) == 4


def test_a_bug_of_the_tokenizer_shows_in_the_ids():
    port = mutate(find_bug("default-pre-tokenizer"))
    assert bpe.split("in 12345") == ["in", " ", "123", "45"]
    assert port.split("in 12345") == ["in", " 12345"]
    # A token that merges do not make of its bytes
    words = {bytes([i]): i for i in range(256)} | {b"bc": 256, b"abc": 257}
    whole = (words, {(b"b", b"c"): 0}, True, {}, {}, [])
    port = mutate(find_bug("merges-first"))
    assert bpe.BPE(*whole).encode("abc") == [257]
    assert port.BPE(*whole).encode("abc") == [97, 256]


@each
def test_a_row_is_whole(bug):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", bug.name)
    assert re.match(r"[\w.-]+/[\w.-]+(#\d+|@[0-9a-f]{7})?(,|$)", bug.where)
    stages = {stage.name for stage in IN_A_BLOCK}
    assert bug.first_stage in stages | {"embed", "logits", "ids", "generate"}
    assert bug.symptom.endswith(".")
    assert bug.look_for.endswith(".")
    assert bug.look_for[0].islower()


@each
def test_a_bug_is_three_lines_of_the_page_at_most(bug):
    line, right, wrong = diff(bug)
    assert max(len(right), len(wrong)) <= 3
    source = inspect.getsource(bpe if bug.module.endswith("bpe") else one_page)
    assert source.split("\n")[line - 1 : line - 1 + len(right)] == right
    assert right != wrong


@each
def test_a_mistake_of_a_layout_is_the_same_on_the_page(bug):
    """Packed rightly and unpacked wrongly: what the page is made to read."""
    rng = np.random.default_rng(0)
    w_codes = rng.integers(-1, 2, (8, 512)).astype(np.int8)
    for module, wrong in bug.in_layouts().items():
        layout = importlib.import_module(module)
        data, port = layout.pack(w_codes, 0.5), mutate(wrong)
        assert wrong.name == bug.name
        found = port.unpack(data, 8, 512)
        expected = mutate(bug).unpack(pack(w_codes), 8)
        np.testing.assert_array_equal(found, expected)
        line, before, after = diff(wrong)
        assert len(before) == len(after) == 1
        if bug.name == "scale-missing":
            assert (port.unpack_scale(data), layout.unpack_scale(data)) == (1, 0.5)
        else:
            assert (found != w_codes).mean() > 0.3


def test_layouts_have_their_mistakes():
    """Blocks of another size, bits, sequence, rows; the code's map; the scale."""
    named = {bug.name for bug in ZOO if bug.layouts}
    assert named == {
        *("blocks-of-64", "block-bits-reversed", "blocks-in-sequence"),
        *("blocks-as-four-rows", "code-map", "scale-missing"),
    }


def test_names_are_unique():
    assert len({bug.name for bug in ZOO}) == len(ZOO) == 43


def test_the_page_stays_as_it_is():
    before = dict(vars(one_page))
    port = mutate(find_bug("silu"), find_bug("theta-10000"))
    assert vars(one_page) == before
    assert port.__name__ == "silu and theta-10000"
    assert port.forward is not one_page.forward


def test_a_text_that_does_not_stand_there_once_is_refused():
    bug = find_bug("silu")
    with pytest.raises(ValueError, match=r"^silu: .* found it 0 times: 'gelu'"):
        mutate(replace(bug, right="gelu"))
    with pytest.raises(ValueError, match=r"found it \d\d times"):
        mutate(replace(bug, right="np."))
    with pytest.raises(ValueError, match="found it 0 times"):  # the other took it away
        mutate(find_bug("code-map"), find_bug("blocks-of-64"))
