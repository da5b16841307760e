# The page and the package are the same model: the same names in the same order, the
# same bits.

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from here import KERNELS_HERE
from numpy.testing import assert_array_equal

import minibitnet as mb
from minibitnet import one_page
from minibitnet.stories import BUILT_IN

RECORDED = Path(__file__).parent / "recorded"
PAGE = Path(one_page.__file__)
CHECKPOINTS = [BUILT_IN, *sorted(RECORDED.iterdir())]
STORY = "Once upon a time there was a fox. He lived by the river, and one day he"

every_checkpoint = pytest.mark.parametrize(
    "directory", CHECKPOINTS, ids=lambda directory: directory.name
)


def ids_for(directory):
    if directory == BUILT_IN:
        return mb.load()[1].encode(STORY)
    with np.load(directory / "recorded.npz") as recorded:
        return [int(token) for token in recorded["ids"]]


def assert_same(page, package):
    assert [*page] == [*package]
    for name, array in package.items():
        # Only to be looked at, or summed in float64 in an order of BLAS's choosing: one
        # such sum in some 10**7 rounds to the neighbouring float32.
        ulps = 1 if name.endswith("attn_weights") or name == "logits" else 0
        assert page[name].dtype == array.dtype, name
        if ulps:
            np.testing.assert_array_max_ulp(page[name], array, ulps)
        else:
            assert_array_equal(page[name], array, err_msg=name, strict=True)


@every_checkpoint
def test_every_stage_of_a_prompt_is_the_same(directory):
    ids, page = ids_for(directory), {}
    logits = one_page.forward(*one_page.load(directory), ids, [], page)
    with mb.trace() as package:
        mb.forward(mb.load(directory)[0], ids)
    assert logits is page["logits"]
    assert_same(page, package)


@every_checkpoint
def test_every_stage_is_the_same_in_pieces_and_steps(directory):
    ids = ids_for(directory)
    config, weights = one_page.load(directory)
    model, _ = mb.load(directory)
    cache, kept = [], mb.KVCache(model.config, len(ids))
    cuts = sorted({len(ids) // 2, *range(len(ids) // 2 + 1, len(ids))} - {0})
    for piece in np.split(ids, cuts):  # the first half at once, then token by token
        page = {}
        one_page.forward(config, weights, piece, cache, page)
        with mb.trace() as package:
            mb.forward(model, piece, kept)
        assert_same(page, package)


@pytest.fixture(scope="module")
def story():
    """Two hundred greedy tokens of the built-in model, by the page."""
    ids = mb.load()[1].encode("Once upon a time")
    return ids, one_page.generate(*one_page.load(BUILT_IN), ids, 200)


@pytest.mark.parametrize(
    "kernel", [k for k in ("auto", "lookup", "c") if k in KERNELS_HERE]
)
def test_two_hundred_greedy_tokens_are_the_same(story, kernel):
    ids, new = story
    model, _ = mb.load(kernel=kernel)
    assert list(mb.generate(model, ids, max_new_tokens=200)) == new


def test_the_story_is_the_recorded_one_letter_for_letter(story):
    expected = (RECORDED.parent / "story.txt").read_text(encoding="utf-8")
    ids, new = story
    assert mb.load()[1].decode([*ids, *new]) + "\n" == expected


def test_it_ends_at_an_end_of_text(story):
    ids, new = story
    config, weights = one_page.load(BUILT_IN)
    config["eos_token_id"] = new[7]
    assert one_page.generate(config, weights, ids, 200) == new[: new.index(new[7]) + 1]
    assert one_page.generate(config, weights, ids, 3) == new[:3]


def test_generation_config_names_the_ends_of_text_too(tmp_path):
    shutil.copytree(BUILT_IN, tmp_path, dirs_exist_ok=True)
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [7, 8]}')
    config, _ = one_page.load(tmp_path)
    assert config["eos_token_id"] == [7, 8]


def test_it_runs_as_a_command(story):
    ids, new = story
    words = [sys.executable, "-m", "minibitnet.one_page", str(BUILT_IN)]
    out = subprocess.check_output([*words, ",".join(map(str, ids))], text=True)
    assert [int(token) for token in out.split()] == new[:20]


def test_it_fits_a_page_and_imports_numpy_alone():
    text = PAGE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 200
    assert max(map(len, text.splitlines())) <= 100
    imported = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
    assert imported == {"json", "sys", "pathlib", "numpy"}
