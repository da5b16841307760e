import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minibitnet.golden.seen import FARTHEST, Seen

MATRICES = arrays(np.float64, (3, 4), elements=st.floats(-1e6, 1e6, width=32))


@given(MATRICES, MATRICES)
def test_a_distance_is_small_for_near_and_at_most_two(a, b):
    far = Seen(a).distance(b)
    assert far == pytest.approx(Seen(b).distance(a))
    assert (far == 0) == np.array_equal(a, b)
    assert 0 <= far <= 2 + 1e-12
    assert Seen(a).distance(a) == 0


def test_distances_that_one_can_check():
    a = np.float64([[3, 4]])
    assert Seen(a).distance(a * 1.01) == pytest.approx(0.01, rel=0.01)
    assert Seen(a).distance(np.float64([[4, -3]])) == pytest.approx(np.sqrt(2))
    assert Seen(a).distance(-a) == pytest.approx(2)
    assert Seen(a).distance(0 * a) == pytest.approx(np.sqrt(2))


def test_what_is_not_finite_is_the_same_or_as_far_as_can_be():
    odd = np.float64([[np.nan, np.inf, 1]])
    assert Seen(odd).distance(odd) == 0
    assert Seen(odd).distance(np.float64([[np.nan, -np.inf, 1]])) == FARTHEST
    assert Seen(odd).distance(np.float64([[0, np.inf, 1]])) == FARTHEST
    assert 0 < Seen(odd).distance(np.float64([[np.nan, np.inf, 2]])) < FARTHEST


def test_rounding_explains_half_a_unit_and_no_more():
    printed = Seen(np.float64([[1.25]]), error=0.005)
    assert printed.distance(np.float64([[1.2549]])) == 0
    assert printed.distance(np.float64([[1.2551]])) > 0


def test_only_what_was_seen_counts():
    seen = Seen(np.float64([[1, 0, 3]]), known=np.array([[True, False, True]]))
    assert seen.distance(np.float64([[1, 77, 3]])) == 0
    assert seen.distance(np.float64([[1, 77, 4]])) == Seen(
        np.float64([[1, 3]])
    ).distance(np.float64([[1, 4]]))


def test_few_rows_are_the_last_and_more_than_there_are_differ():
    array = np.float64([[1, 2], [3, 4]])
    assert Seen(array[1:]).distance(array) == 0
    assert Seen(array[:1]).distance(array) > 0
    assert Seen(array).distance(array[1:]) == FARTHEST


@pytest.mark.parametrize("shape", [(2, 6), (1, 2, 6), (2, 3, 2), (12,), (1, 1, 2, 6)])
def test_a_row_is_a_token_whatever_the_other_axes(shape):
    values = np.arange(12.0)
    rows = Seen(values.reshape(shape), error=0.5).in_rows("q", 6)
    assert np.array_equal(rows.values, values.reshape(2, 6))
    assert rows.error.shape == (2, 6)


# Too few or too many in a row, nothing, a batch of two
@pytest.mark.parametrize("shape", [(3, 4), (6, 2), (0,), (13,), (2, 2, 6)])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="^q: expected rows of 6 numbers"):
        Seen(np.zeros(shape)).in_rows("q", 6)


def test_a_last_bit_of_the_logits_is_no_difference():
    logits = np.float32([[1.5, -7.25]])
    other = np.nextafter(logits, np.float32(9))
    assert Seen(logits).in_rows("logits", 2).distance(other) == 0
    assert Seen(logits).in_rows("q", 2).distance(other) > 0
    assert Seen(logits).in_rows("logits", 2).distance(logits * 1.000001) > 0
