"""bfloat16: the upper half of a float32.

A bfloat16 number is a float32 with its last 16 bits cut off: the same sign, the same
8 bits of exponent, 7 bits of fraction instead of 23. So widening it is exact and costs
a shift, and any float32 that ends in 16 zero bits is a bfloat16. NumPy has no such
type; here it travels as ``uint16``, the bits as they lie in the file.

Notes
-----
Widening: ``float32 bits = bfloat16 bits << 16``. Narrowing rounds to the nearest, ties
to the even one, as PyTorch does. float16 is another format: five bits of exponent, so
it ends at 65504, and the numbers inside this model's feed-forward do not fit in it.

References
----------
Kalamkar et al., A Study of BFLOAT16 for Deep Learning Training, 2019, arXiv 1905.12322.

Examples
--------
1.0 is 0x3F800000 as a float32, so 0x3F80 here; read as a float16 those bits are 1.875.

>>> bits = np.array([0x3F80, 0xC049], np.uint16)
>>> widen(bits)
array([ 1.      , -3.140625], dtype=float32)

Just above 1 the step is 1/128. The middle of a step goes to the even neighbour: down
from 1 + 1/256, up from 1 + 3/256.

>>> widen(narrow(np.array([1 + 1 / 256, 1 + 3 / 256], np.float32)))
array([1.      , 1.015625], dtype=float32)
"""

import numpy as np

from minibitnet.arrays import F16, F32, U16


def widen(bits: U16 | F16 | F32) -> F32:
    """Stored numbers as float32, exactly; what is float32 already stays as it is.

    bits (...) -> values (...)
    """
    if bits.dtype != np.uint16:  # some checkpoints are not bfloat16
        return np.asarray(bits, np.float32)
    return (bits.astype(np.uint32) << 16).view(np.float32)


def narrow(values: F32) -> U16:
    """The nearest bfloat16 of each number, ties to even.

    values (...) -> bits (...)

    Raises ValueError if a value is NaN, whose bits do not survive rounding.
    """
    if np.isnan(values).any():
        raise ValueError("values must be numbers, got NaN")
    wide = np.ascontiguousarray(values, np.float32).view(np.uint32)
    # Adding just under half a step carries into the upper half where it must.
    below_half = np.uint32(0x7FFF) + ((wide >> 16) & 1)
    return ((wide + below_half) >> 16).astype(np.uint16).reshape(np.shape(values))
