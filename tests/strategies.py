"""What may come in, as wide as the contract."""

import math

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

LENGTHS = st.integers(1, 40)  # of 4, 5, 8 and 32 the multiples and all between
SHAPES = st.tuples(LENGTHS, LENGTHS)
TOKENS = st.tuples(st.integers(0, 5), LENGTHS)  # shape (T, N)

# Zeros, ties of the quantizers, and sizes from subnormal to huge
ODD_NUMBERS = np.float32([0, 0.5, -1.5, 127, 1e-30, -1e-45, -1e30, 1e30]).tolist()
MODERATE = st.floats(-8, 8, width=32)
NUMBERS = st.sampled_from(ODD_NUMBERS) | st.floats(*ODD_NUMBERS[-2:], width=32)


def floats(shape):
    """float32: numbers of one size, or of any."""
    of_one_size = arrays(np.float32, shape, elements=MODERATE)
    return of_one_size | arrays(np.float32, shape, elements=NUMBERS)


def codes(lowest, highest, shape):
    """int8: a few codes, the ends often, on a plain ground; or all codes at random."""
    ends = st.sampled_from([lowest, highest])
    few = arrays(np.int8, shape, elements=ends | st.integers(lowest, highest))
    table = np.resize(np.arange(lowest, highest + 1), 256).astype(np.int8)
    size = math.prod(shape)
    many = st.binary(min_size=size, max_size=size).map(lambda raw: table[[*raw]])
    return few | many.map(lambda flat: flat.reshape(shape))


def ternary_codes(shape):
    """int8: -1, 0 and +1; whole rows and columns of zeros often."""
    return codes(-1, 1, shape)


@st.composite
def products(draw):
    """Activation codes (T, N), all of int8, and ternary codes (M, N)."""
    (T, N), M = draw(TOKENS), draw(LENGTHS)
    return draw(codes(-128, 127, (T, N))), draw(ternary_codes((M, N)))
