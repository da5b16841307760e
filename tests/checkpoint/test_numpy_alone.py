"""The model runs where nothing but NumPy can be had, as in a browser."""

import subprocess
import sys

import minibitnet as mb
from minibitnet.checkpoint.assemble import build_model
from minibitnet.checkpoint.open import open_checkpoint
from minibitnet.kernels import KERNELS
from minibitnet.stories import BUILT_IN

OTHERS = (
    *("tokenizers", "safetensors", "huggingface_hub"),
    *("tqdm", "threadpoolctl", "jinja2"),
)
PROGRAM = f"""\
import sys
for name in {OTHERS}:
    sys.modules[name] = None  # importing it is an ImportError

import minibitnet as mb
from minibitnet.checkpoint.assemble import build_model
from minibitnet.checkpoint.open import open_checkpoint
from minibitnet.kernels import KERNELS
from minibitnet.stories import BUILT_IN

model = build_model(open_checkpoint(BUILT_IN), KERNELS["auto"], threads=2)
print(list(mb.generate(model, [5, 6, 7], max_new_tokens=8)))
"""


def test_the_built_in_model_runs_on_numpy_alone():
    words = [sys.executable, "-c", PROGRAM]
    process = subprocess.run(words, capture_output=True, text=True)
    assert process.stderr == ""
    model = build_model(open_checkpoint(BUILT_IN), KERNELS["blas"])
    assert process.stdout == f"{list(mb.generate(model, [5, 6, 7], 8))}\n"


def test_importing_the_package_imports_nothing_but_numpy():
    listed = "import sys, minibitnet; print(*sys.modules)"
    words = [sys.executable, "-c", listed]
    names = subprocess.run(words, capture_output=True, text=True).stdout.split()
    assert "minibitnet.model" in names
    assert not {name.split(".")[0] for name in names} & {*OTHERS}
