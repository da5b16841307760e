import numpy as np
import pytest

from minibitnet.course.difference import as_array, difference, same

rng = np.random.default_rng(0)
RIGHT = rng.standard_normal((4, 5)).astype(np.float32)
CODES = rng.integers(-100, 101, (3, 4)).astype(np.int8)


def changed(place, value, right=RIGHT):
    other = right.astype(np.float64)
    other[place] = value
    return other


CASES = {
    "signs": (-RIGHT, "Every sign is the wrong one."),
    "a sign": (changed((2, 3), -RIGHT[2, 3]), "The wrong sign: 1 of 20 numbers."),
    "a factor": (2 * RIGHT, "Every number is 2 times the right one."),
    "an amount": (RIGHT + 1, "Every number is off by +1."),
    "nothing": (0 * RIGHT, "All numbers are 0."),
    "a row": (changed(2, 7), "Only row 2 is wrong."),
    "a column": (changed((slice(None), 1), 7), "Only column 1 is wrong."),
    "factors of rows": (RIGHT * [[1], [2], [3], [4]], "Each row is off by a factor"),
    "factors of columns": (RIGHT * [1, 2, 3, 4, 5], "Each column is off by a factor"),
    "NaN": (changed((1, 1), np.nan), "NaN or infinite: 1 of 20 numbers.\nThe first at"),
    "infinity": (changed((1, 1), -np.inf), "NaN or infinite: 1 of 20"),
    "other shape": (RIGHT[:3], "Expected shape (4, 5), got (3, 5)."),
    "transposed": (RIGHT.T, "Rows and columns are swapped. Expected shape (4, 5), got"),
    "flat": (RIGHT.ravel(), "The right numbers, in another shape. Expected shape (4, "),
    "shifted rows": (np.roll(RIGHT, 1, 0), "The right rows, shifted by one place."),
    "shifted columns": (np.roll(RIGHT, -1, 1), "The right columns, shifted by one"),
    "upside down": (RIGHT[::-1], "The right rows, in another order."),
    "mirrored": (RIGHT[:, ::-1], "The right columns, in another order."),
    "mixed": (rng.permutation(RIGHT.ravel()).reshape(4, 5), "The right numbers, in an"),
    "half": (RIGHT.astype(np.float16), "Near, but not right: "),
    "another": (rng.standard_normal((4, 5)), "Different: 20 of 20 numbers."),
}


@pytest.mark.parametrize(("found", "said"), CASES.values(), ids=CASES)
def test_a_difference_has_a_kind(found, said):
    assert not same(as_array(found), RIGHT)
    assert difference(as_array(found), RIGHT).startswith(said)


def test_of_few_numbers_all_are_shown():
    said = difference(np.array([1, 2, 3, 4]), np.array([1, 2, 3, 5]))
    assert said == "Different: 1 of 4 numbers.\nexpected [1 2 3 5]\ngot [1 2 3 4]"
    shifted = difference(np.array([0, 1, 2, 3]), np.array([1, 2, 3, 4]))
    assert shifted.startswith("Every number is off by -1.")
    shifted = difference(np.array([0, 1, 9, 5]), np.array([1, 9, 5, 7]))
    assert shifted.startswith("The right numbers, shifted by one place.")


def test_a_square_that_is_transposed():
    square = RIGHT[:4, :4]
    assert difference(square.T, square).startswith("Rows and columns are swapped.")


def test_overflow_is_told_by_its_bits():
    right = CODES.astype(np.int32) * 3
    for dtype, factor, bits in ((np.int8, 1, 8), (np.int16, 300, 16)):
        wrapped = (right * factor).astype(dtype)
        said = difference(wrapped, right * factor)
        assert said.startswith(
            f"Numbers are off by multiples of 2**{bits}: {bits} bits"
        )
        assert f"Yours are {np.dtype(dtype)}, the right ones int32." in said
    unsigned = difference(CODES.astype(np.uint8), CODES)
    assert "Yours are uint8, the right ones int8." in unsigned


def test_one_number_is_another_or_has_the_wrong_sign():
    one, other = np.array(3.0), np.array(5.0)
    assert difference(other, one) == "Another number.\nexpected 3, got 5."
    assert difference(-one, one).startswith("The sign is wrong.")


def test_integers_are_equal_and_floats_are_near():
    assert same(np.array([1, 2]), np.array([1, 2]))
    assert same(np.array([1.0, 2.0]), np.array([1, 2], np.int8))
    assert not same(np.array([100_001]), np.array([100_000]))
    assert not same(np.array([1.000001]), np.array([1]))
    assert same(np.array([1.000001]), np.array([1.0]))
    assert not same(np.array([1.0001]), np.array([1.0]))
    assert not same(np.array([[1]]), np.array([1]))
    assert not same(np.array(["1"]), np.array([1]))
    assert same(np.array([np.nan, np.inf]), np.array([np.nan, np.inf]))
    assert not same(np.array([1.0]), np.array([np.inf]))
    assert not same(np.array([-np.inf]), np.array([np.inf]))
    assert not same(np.array([np.nan]), np.array([1.0]))


def test_near_is_measured_by_the_row():
    right = np.array([[1000.0, 1e-4], [1.0, 1e-4]])
    off = right + np.array([[0, 1e-5], [0, 0]])
    assert same(off, right)  # the rest of a sum of loud numbers
    assert not same(off[::-1], right[::-1] * [[1], [1]] + [[0, 1e-5], [0, 1e-5]])
    assert not same(right + np.array([[0, 0], [0, 1e-5]]), right)


def test_what_has_no_shape_is_an_object():
    assert as_array([[1], [1, 2]]).dtype == object

    class Odd:
        def __array__(self, dtype=None, copy=None):
            raise RuntimeError

    assert as_array(Odd()).dtype == object
    given = np.zeros(2)
    as_array(given)[0] = 1
    assert given[0] == 0


def test_one_number_that_is_not_zero_makes_no_factor():
    right = np.array([0, 0, 3, 0])
    assert difference(2 * right, right).startswith("Different: 1 of 4")
    assert difference(np.array([1, 2, 0]), np.array([1, 2, 5])).startswith("Different")
