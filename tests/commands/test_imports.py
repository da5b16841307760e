# The command line runs where nothing but NumPy is installed, as far as it can.

import subprocess
import sys

import pytest

from minibitnet.stories import BUILT_IN

OTHERS = (
    *("tokenizers", "safetensors", "huggingface_hub"),
    *("tqdm", "threadpoolctl", "jinja2"),
)
PROGRAM = f"""\
import sys
for name in {OTHERS}:
    sys.modules[name] = None  # importing it is an ImportError

from minibitnet.cli import main

sys.exit(main(sys.argv[1:]))
"""


def python(*words):
    return subprocess.run([sys.executable, *words], capture_output=True, text=True)


def test_importing_the_command_line_imports_nothing_but_numpy():
    process = python("-c", "import sys, minibitnet.cli; print(*sys.modules)")
    names = process.stdout.split()
    assert process.stderr == ""
    assert {"minibitnet.commands.train", "numpy"} <= {*names}
    assert not {name.split(".")[0] for name in names} & {*OTHERS}


@pytest.mark.parametrize(
    "words", [["--version"], ["train", "--help"], ["costs"], ["inspect", str(BUILT_IN)]]
)
def test_commands_that_need_no_more_run_on_numpy_alone(words):
    alone, usual = python("-c", PROGRAM, *words), python("-m", "minibitnet", *words)
    assert (alone.returncode, alone.stderr) == (0, "")
    assert alone.stdout == usual.stdout != ""
