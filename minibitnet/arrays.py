"""The array types: a dtype is written once in a signature, a shape in the line below.

Examples
--------
>>> np.zeros((2, 3), np.float32).dtype == np.dtype(F32.__args__[1].__args__[0])
True
"""

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]  # real numbers: activations, gains, scales
F16 = NDArray[np.float16]  # scales of blocks in GGUF files
F64 = NDArray[np.float64]  # sums, before they are rounded once
I8 = NDArray[np.int8]  # codes
I32 = NDArray[np.int32]  # sums of products of codes
I64 = NDArray[np.int64]  # token ids and positions
U8 = NDArray[np.uint8]  # packed codes, four in a byte
U16 = NDArray[np.uint16]  # the bits of bfloat16
