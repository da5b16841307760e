import numpy as np
import pytest
from hypothesis import given
from numpy.testing import assert_array_equal
from strategies import SHAPES, ternary_codes

from minibitnet.packing import find_unused_code, pack, unpack

BYTES = np.arange(256, dtype=np.uint8)


def plain_pack(w_codes):
    """Code after code, each to its byte and its bits."""
    R = -(-len(w_codes) // 4)
    packed = np.zeros((R, w_codes.shape[1]), int)
    for (m, n), code in np.ndenumerate(w_codes):
        band, r = divmod(m, R)
        packed[r, n] += (int(code) + 1) * 4**band
    return packed.astype(np.uint8)


@given(SHAPES.flatmap(ternary_codes))
def test_unpack_undoes_pack(w_codes):
    unpacked = unpack(pack(w_codes), rows=len(w_codes))
    assert_array_equal(unpacked, w_codes, strict=True)


@given(SHAPES.flatmap(ternary_codes))
def test_pack_puts_each_code_where_the_layout_says(w_codes):
    assert_array_equal(pack(w_codes), plain_pack(w_codes), strict=True)


@given(SHAPES.flatmap(ternary_codes))
def test_pack_leaves_its_argument_alone_and_no_unused_code(w_codes):
    before = w_codes.copy()
    assert find_unused_code(pack(w_codes)) is None
    assert_array_equal(w_codes, before)


def test_a_byte_holds_rows_that_are_a_quarter_of_the_matrix_apart():
    w_codes = np.array([[-1, 0, 1, 1, 0, -1, 1, 0]], np.int8).T
    assert_array_equal(pack(w_codes), np.array([[0x98], [0x49]], np.uint8), strict=True)


@pytest.mark.parametrize("wrong", [-128, -2, 2, 127])
def test_pack_refuses_a_code_that_is_not_ternary(wrong):
    w_codes = np.array([[0, 1], [-1, wrong]], np.int8)
    with pytest.raises(ValueError, match=f"must be -1, 0 or .1, got .*{wrong}"):
        pack(w_codes)


@pytest.mark.parametrize("byte", BYTES)
def test_a_byte_is_sound_if_packing_gives_it(byte):
    packed = np.array([[0, 0], [0, 0], [0, byte]], np.uint8)
    is_packed = (pack(unpack(packed).clip(-1, 1)) == packed).all()
    assert find_unused_code(packed) == (None if is_packed else (2, 1))


def test_the_first_unused_code_is_found():
    packed = np.array([[0, 0b10], [0b1100, 0b11]], np.uint8)
    assert find_unused_code(packed) == (1, 0)
