"""The types of training: floats of any precision, and a pullback.

Training runs in float32. The same code runs in float64, where gradients can be compared
with finite differences; so its functions take either, and nothing in them is cast.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating[Any]]
Pullback = Callable[[Floats], Floats]  # of a function of one array
