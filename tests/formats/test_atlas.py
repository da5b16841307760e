"""The map of a layout, found by looking, is the one that its formula says."""

import numpy as np
import pytest

from minibitnet.formats import LAYOUTS
from minibitnet.formats.atlas import byte_of_each, weights_in

r, c = np.ogrid[:16, :256]
FORMULAS = {
    "packed": r % 4 * 256 + c,
    "i2_s": r * 64 + c // 128 * 32 + c % 32,
    "i2_s_arm": r * 64 + c // 64 * 16 + c % 16,
    "i2_s_rows": r // 4 * 256 + c,
    "tq2_0": r * 66 + c // 128 * 32 + c % 32,
    "tl1": r * 64 + c // 4,
    "tl2": np.where(c < 192, r * 32 + c // 6, 512 + 128 + r * 16 + (c - 192) // 4),
    "base3": r * 52 + c // 5,
    "gpu_int2": c // 32 * 128 + (r // 8 * 16 + c % 32 // 16 * 8 + r % 8) * 4 + c % 4,
    "tq1_0": r * 54
    + np.where(c < 160, c % 32, np.where(c < 240, 32 + c % 16, 48 + c % 4)),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_each_weight_is_where_the_formula_says(name):
    places = byte_of_each(LAYOUTS[name], 16, 256)
    np.testing.assert_array_equal(places, np.broadcast_to(FORMULAS[name], (16, 256)))


def test_the_weights_of_a_byte():
    places = np.array([[0, 1], [1, 0]])
    assert weights_in(places, 1) == [(0, 1), (1, 0)]
    assert weights_in(places, 2) == []
