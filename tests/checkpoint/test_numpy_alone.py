"""The model runs where nothing but NumPy can be had, as in a browser."""

import subprocess
import sys

import minibitnet as mb

OTHERS = (
    *("tokenizers", "safetensors", "huggingface_hub"),
    *("tqdm", "threadpoolctl", "jinja2"),
)
PROGRAM = f"""\
import sys
for name in {OTHERS}:
    sys.modules[name] = None  # importing it is an ImportError

import minibitnet as mb

model, tokenizer = mb.load(threads=2)
ids = tokenizer.encode("Once upon a time")
print(tokenizer.decode(list(mb.generate(model, ids, max_new_tokens=8))))
"""


def test_the_built_in_model_runs_on_numpy_alone():
    words = [sys.executable, "-c", PROGRAM]
    process = subprocess.run(words, capture_output=True, text=True)
    assert process.stderr == ""
    model, tokenizer = mb.load(kernel="blas")
    ids = tokenizer.encode("Once upon a time")
    new = list(mb.generate(model, ids, max_new_tokens=8))
    assert process.stdout == f"{tokenizer.decode(new)}\n"


def test_importing_the_package_imports_nothing_but_numpy():
    listed = "import sys, minibitnet; print(*sys.modules)"
    words = [sys.executable, "-c", listed]
    names = subprocess.run(words, capture_output=True, text=True).stdout.split()
    assert "minibitnet.model" in names
    assert not {name.split(".")[0] for name in names} & {*OTHERS}
