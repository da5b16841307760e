import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from minibitnet import bf16
from minibitnet.kernels import head
from minibitnet.kernels.head import longest_row, project, project_one, widen_into
from minibitnet.kernels.threads import use_threads


# Blocks are 512 rows in float32: one that is not full, one, one and a row, and several.
@pytest.mark.parametrize("M", [1, 512, 513, 2000])
@pytest.mark.parametrize("threads", [1, 3])
def test_it_is_the_product_with_the_widened_matrix(M, threads, monkeypatch):
    monkeypatch.setattr(head, "WORTH", 0)
    monkeypatch.setattr(head, "BLOCK", 40 * 300)
    rng = np.random.default_rng(M)
    # Whole numbers: their sums stay below 2**24 and are exact in any order.
    x, W = (rng.integers(-8, 9, (rows, 40)).astype(np.float32) for rows in (3, M))
    bits = bf16.narrow(W)
    bits.flags.writeable = False  # as in a mapped file
    with use_threads(threads):
        assert_array_equal(project(x, bits), x @ W.T, strict=True)
        longest = longest_row(bits)
        assert longest == pytest.approx(np.linalg.norm(W, axis=1).max(), rel=1e-6)
        for token in x:
            assert_array_equal(
                project_one(token, bits, longest), W @ token, strict=True
            )


def test_a_matrix_of_float32_is_taken_as_it_is():
    W = np.array([[1.5, -2], [0, 3]], np.float32)
    x = np.array([[2, 1]], np.float32)
    assert_array_equal(project(x, W), np.array([[1, 3]], np.float32), strict=True)
    y = project_one(x[0], W, longest_row(W))
    assert_array_equal(y, np.array([1, 3], np.float32), strict=True)


def test_every_float16_is_widened_as_numpy_widens_it():
    every = np.arange(2**16, dtype=np.uint16).view(np.float16)
    halves = every[np.isfinite(every)].reshape(2, -1)
    wide = widen_into(np.empty((3, halves.shape[1]), np.uint32), halves)
    expected = halves.astype(np.float32)
    assert_array_equal(wide.view(np.uint32), expected.view(np.uint32), strict=True)
    assert_array_equal(bf16.widen(halves), expected, strict=True)


def test_a_matrix_of_float16_is_used_as_it_is():
    W = np.array([[1.5, -2], [2.0**-24, 3]], np.float16)
    W.flags.writeable = False
    x = np.array([[2, 1]], np.float32)
    assert_array_equal(project(x, W), (x @ W.T.astype(np.float32)), strict=True)
    y = project_one(x[0], W, longest_row(W))
    assert_array_equal(y, (x @ W.T.astype(np.float32))[0], strict=True)


def test_sums_are_carried_in_float64_and_rounded_once():
    x = np.array([[2.0**30, 1, -(2.0**30)]], np.float32)
    ones = bf16.narrow(np.ones((1, 3), np.float32))
    assert project(x, ones) == 1
    assert project_one(x[0], ones, longest_row(ones)) == 1


@st.composite
def near_ties(draw):
    """A token and rows whose logits lie within a few roundings of one another."""
    seed, N = draw(st.integers(0, 2**32 - 1)), draw(st.integers(20, 300))
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(N).astype(np.float32)
    row = bf16.narrow(rng.standard_normal(N).astype(np.float32))
    rows = np.repeat(row[None], 40, axis=0)
    small = np.argsort(np.abs(x))[:4]  # where a change of the row changes least
    rows[:, small] += rng.integers(0, 3, (40, 4)).astype(np.uint16)
    return x * np.float32(2.0 ** draw(st.integers(-20, 20))), rows


@given(near_ties(), st.integers(0, 39))
def test_the_most_likely_token_is_that_of_float64_however_near_the_others(case, first):
    x, bits = case
    bits = np.roll(bits, first, axis=0)
    exact, fast = project(x[None], bits)[0], project_one(x, bits, longest_row(bits))
    assert fast.argmax() == exact.argmax()
    assert fast.max() == exact.max()


def test_what_cannot_win_is_within_the_bound_and_what_can_is_exact():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(500).astype(np.float32)
    bits = bf16.narrow(rng.standard_normal((5000, 500)).astype(np.float32))
    exact, fast = project(x[None], bits)[0], project_one(x, bits, longest_row(bits))
    bound = 1.1 * 502 * 2.0**-24 * np.linalg.norm(x) * longest_row(bits)
    assert np.abs(fast - exact).max() < bound
    assert (fast != exact).any()  # else this test would show nothing
    near = exact >= exact.max() - bound
    assert_array_equal(fast[near], exact[near])


def test_an_order_of_adding_does_not_change_the_winner():
    # In float32 the second row's sum loses its 1 to 2**24, or not, by the order.
    x = np.array([1, 2.0**24, -(2.0**24), 0.5], np.float32)
    bits = bf16.narrow(np.array([[0, 0, 0, 1], [1, 1, 1, 0]], np.float32))
    assert project_one(x, bits, longest_row(bits)).argmax() == 1


def test_logits_that_are_no_numbers_stay_so():
    bits = bf16.narrow(np.ones((3, 2), np.float32))
    logits = project_one(np.array([np.nan, 1], np.float32), bits, longest_row(bits))
    assert np.isnan(logits).all()
