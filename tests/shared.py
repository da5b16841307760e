"""The real small files of 2B4T and outputs that others published, if they are at hand.

They lie in a folder of their own beside the repository, or where MINIBITNET_SHARED
says; tests that need them are skipped without.
"""

import json
import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("MINIBITNET_SHARED", ROOT.parent / "shared")) / "data"
REAL = DATA / "2b4t"

needs_shared = pytest.mark.skipif(not REAL.is_dir(), reason=f"{REAL} is not here")


def read_shared(path):
    return json.loads((DATA / path).read_text(encoding="utf-8"))
