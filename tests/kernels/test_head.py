import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minibitnet import bf16
from minibitnet.kernels import head
from minibitnet.kernels.head import project
from minibitnet.kernels.threads import use_threads


# A block is 512 rows: one that is not full, one, one and a row, and several.
@pytest.mark.parametrize("M", [1, 512, 513, 2000])
@pytest.mark.parametrize("threads", [1, 3])
def test_it_is_the_product_with_the_widened_matrix(M, threads, monkeypatch):
    monkeypatch.setattr(head, "WORTH", 0)
    rng = np.random.default_rng(M)
    # Whole numbers: their sums stay below 2**24 and are exact in any order.
    x, W = (rng.integers(-8, 9, (rows, 40)).astype(np.float32) for rows in (3, M))
    bits = bf16.narrow(W)
    bits.flags.writeable = False  # as in a mapped file
    with use_threads(threads):
        assert_array_equal(project(x, bits), x @ W.T, strict=True)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_other_floats_are_taken_as_what_they_are(dtype):
    W = np.array([[1.5, -2], [0, 3]], dtype)
    y = project(np.array([[2, 1]], np.float32), W)
    assert_array_equal(y, np.array([[1, 3]], np.float32), strict=True)
