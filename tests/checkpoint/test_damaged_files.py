"""Some thousand damaged checkpoints; `make damage` tries a hundred thousand."""

import subprocess
import sys

from shared import ROOT


def test_a_damaged_checkpoint_loads_as_what_it_says_or_is_refused():
    tool = [sys.executable, str(ROOT / "tools" / "mutate_files.py"), "--cases", "3000"]
    result = subprocess.run(tool, capture_output=True, text=True, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr[-2000:]
    assert result.stdout.count("| 0 |") >= 6  # a row for each kind of file
