"""The port in JavaScript, run by Node.js, beside the page."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from cport import CHECKPOINTS, first_difference, ids_for, join, read_trace, trace_page
from encoding import TEXTS, ask
from hypothesis import given, settings
from hypothesis import strategies as st

import minibitnet as mb
from minibitnet.golden.conform import conform_files
from minibitnet.stories import BUILT_IN

ROOT = Path(__file__).parents[2]
JS = ROOT / "ports" / "js"
TOLD = ROOT / "notebooks" / "data" / "told.txt"
NODE = shutil.which("node")
pytestmark = pytest.mark.skipif(NODE is None, reason="there is no Node.js")


FILES = [JS / f"{name}.mjs" for name in ("bitnet", "tokenizer", "checkpoint")]


def run_js(*words):
    done = subprocess.run(
        [NODE, JS / "main.mjs", *map(str, words)],
        capture_output=True,
        timeout=300,
        check=False,
    )
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def test_it_has_as_many_lines_as_the_table_says():
    lines = sum(len(file.read_text("utf-8").splitlines()) for file in FILES)
    table = (JS.parent / "README.md").read_text(encoding="utf-8")
    assert f"| JavaScript, three files | {lines:,} | greedy text |" in table


def test_its_kernels_are_equal():
    done = subprocess.run([NODE, "--test", JS], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stdout.decode()


def test_it_answers_every_vector(tmp_path):
    assert run_js("--vectors", ROOT / "vectors" / "v1", tmp_path) == (0, "", "")
    assert conform_files(tmp_path).passed


@pytest.mark.parametrize("directory", CHECKPOINTS, ids=lambda path: path.name)
def test_every_stage_has_the_bits_of_the_page(directory, tmp_path):
    ids = ids_for(directory)
    done = run_js("--trace", tmp_path / "js.trace", directory, join(ids))
    assert done == (0, "", "")
    found = read_trace(tmp_path / "js.trace")
    assert found.pop("ids").tolist() == ids
    assert first_difference(found, trace_page(directory, ids, [len(ids)])) is None


def test_two_thousand_tokens_of_stories(tmp_path):
    model, tokenizer = mb.load()
    stories, tokens = iter(TOLD.read_text(encoding="utf-8").split("\n\n")), 0
    while tokens < 2000:
        ids = tokenizer.encode("\n\n".join(next(stories) for _ in range(3)))[:384]
        done = run_js("--trace", tmp_path / "js.trace", BUILT_IN, join(ids))
        assert done == (0, "", "")
        with mb.trace() as right:
            mb.forward(model, ids)
        found = read_trace(tmp_path / "js.trace")
        for name, array in right.items():
            if not name.endswith(("attn_weights", "logits")):
                np.testing.assert_array_equal(found[name], array, name)
        tokens += len(ids)


def test_it_tells_the_same_story():
    model, tokenizer = mb.load()
    ids = tokenizer.encode("Once upon a time")
    told = tokenizer.decode([*ids, *mb.generate(model, ids, max_new_tokens=200)])
    assert run_js(BUILT_IN, "Once upon a time", 200) == (0, f"{told}\n", "")


@settings(max_examples=5)
@given(st.lists(TEXTS, min_size=50, max_size=200))
def test_it_encodes_as_the_library_does(tmp_path_factory, texts):
    place = tmp_path_factory.mktemp("encode")
    ask(place, "encode", texts, bos=False)
    assert run_js("--vectors", place, place) == (0, "", "")
    _, tokenizer = mb.load()
    for i, text in enumerate(texts):
        found = np.fromfile(place / f"{i}.ids", np.int32).tolist()
        assert found == tokenizer.encode(text, bos=False), text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([BUILT_IN / "no", "a"], "no such file"),
        ([BUILT_IN, "4096"], "from 0 to 4095"),
    ],
)
def test_a_mistake_is_one_line(words, message):
    status, written, line = run_js(*words)
    assert (status, written, line.count("\n")) == (1, "", 1)
    assert message in line


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("intermediate_size", 692, "ffn_sub_norm.weight: 692, found [688]"),
        ("num_hidden_layers", 7, "expected model.layers.6."),
        ("num_hidden_layers", 5, 'found "model.layers.5.'),
    ],
)
def test_arrays_that_are_not_those_of_the_config_are_refused(
    tmp_path, key, value, message
):
    place = tmp_path / "model"
    shutil.copytree(BUILT_IN, place)
    config = json.loads((place / "config.json").read_text(encoding="utf-8"))
    (place / "config.json").write_text(json.dumps(config | {key: value}))
    status, written, line = run_js(place, "Once upon a time")
    assert (status, written, line.count("\n")) == (1, "", 1)
    assert message in line
