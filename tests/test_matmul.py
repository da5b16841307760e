import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_array_equal
from strategies import products

from minibitnet.matmul import ternary_matmul


@given(products())
def test_the_masks_are_a_matrix_product(product):
    x_codes, w_codes = product
    acc = ternary_matmul(x_codes, w_codes)
    assert acc.dtype == np.int32
    for wide in np.int64, np.float64:
        assert_array_equal(acc, x_codes.astype(wide) @ w_codes.astype(wide).T)


# 258 of -128 are more than an int16 holds; 6912 are the widest of 2B4T.
@pytest.mark.parametrize("N", [2, 258, 6912])
@pytest.mark.parametrize("code", [-128, 127])
def test_sums_are_wide_enough(N, code):
    x_codes = np.full((1, N), code, np.int8)
    w_codes = np.array([[1] * N, [-1] * N], np.int8)
    acc = ternary_matmul(x_codes, w_codes)
    assert_array_equal(acc, np.array([[N * code, -N * code]], np.int32), strict=True)
