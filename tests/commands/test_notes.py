"""What a command says of a checkpoint that is odd: one line, and no line of code."""

import json
import shutil

import numpy as np
import pytest

from minibitnet.bf16 import narrow
from minibitnet.cli import main
from minibitnet.files.tensorfile import (
    WEIGHTS,
    read_tensors,
    spec_of,
    write_tensors,
)


@pytest.fixture
def generate(checkpoint, tmp_path, capsys):
    """Continue two ids by a checkpoint with some arrays changed: status, out, err."""

    def run(**changes):
        directory = tmp_path / "changed"
        shutil.copytree(checkpoint, directory)
        config = directory / "config.json"
        content = json.loads(config.read_text()) | {"tie_word_embeddings": True}
        config.write_text(json.dumps(content))
        tensors = read_tensors(checkpoint / WEIGHTS)
        arrays = {name: tensor.array for name, tensor in tensors.items()}
        arrays["lm_head.weight"] = arrays["model.embed_tokens.weight"]
        for name, change in changes.items():
            key = name.replace("__", ".")
            arrays[key] = change(arrays[key])
        specs = {name: spec_of(array) for name, array in arrays.items()}
        write_tensors(directory / WEIGHTS, specs, lambda name: [arrays[name]])
        words = ["generate", "--ids", "1,2", "--seed", "0", "--model", str(directory)]
        status = main([*words, "--max-new-tokens", "1"])
        return (status, *capsys.readouterr())

    return run


def test_nothing_is_said_of_what_is_as_it_should_be(generate):
    status, _, err = generate()
    assert status == 0
    assert "note" not in err


def test_a_note_is_a_line(generate):
    status, out, err = generate(lm_head__weight=lambda array: array[::-1])
    assert status == 0
    assert len(out.split()) == 1
    [note] = [line for line in err.splitlines() if "note" in line]
    assert note.startswith("minibitnet: note: ")
    assert "lm_head.weight is not the embedding" in note


def test_numbers_that_become_infinite_end_in_one_line(generate):
    largest = narrow(np.float32(3e38))
    status, out, err = generate(
        model__norm__weight=lambda array: np.full_like(array, largest)
    )
    assert (status, out) == (2, "")
    expected = "minibitnet: final_norm: expected finite numbers, found inf\n"
    assert err.replace("-inf", "inf") == expected
