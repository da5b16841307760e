"""What this machine has: kernels, and a C compiler or none."""

import pytest

from minibitnet.kernels import NAMES
from minibitnet.kernels.compiler import has_compiler

KERNELS_HERE = [name for name in NAMES if name != "c" or has_compiler()]
needs_compiler = pytest.mark.skipif(not has_compiler(), reason="no C compiler here")
