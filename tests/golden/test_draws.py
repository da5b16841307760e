import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from minibitnet import bf16
from minibitnet.golden.draws import INCREMENT, KINDS, MULTIPLIER, draw, states
from minibitnet.golden.quirky import write_quirky
from minibitnet.packing import find_unused_code
from minibitnet.text.tokenizerfile import read_bpe
from minibitnet.tokenizer import read_with_library


@given(st.integers(0, 2**32 - 1), st.integers(1, 50))
def test_states_are_those_of_the_loop(seed, n):
    s, expected = seed, []
    for _ in range(n):
        s = (MULTIPLIER * s + INCREMENT) % 2**32
        expected.append(s)
    assert_array_equal(states(seed, n), np.array(expected, np.uint32), strict=True)


def test_packed_bytes_have_all_codes_and_no_other():
    packed = draw("packed", 3, (40, 50))
    assert find_unused_code(packed) is None
    assert len(np.unique(packed)) == 81


def test_numbers_fill_their_range():
    assert len(np.unique(draw("codes", 1, (9000,)))) == 256
    floats = draw("floats", 2, (9000,))
    assert -1 <= floats.min() < -0.99
    assert 0.99 < floats.max() < 1
    bfloats = bf16.widen(draw("bfloats", 4, (9000,)))
    assert (bfloats.min(), bfloats.max()) == (-1, 127 / 128)


@pytest.mark.parametrize("kind", KINDS)
def test_a_shape_is_filled_in_c_order(kind):
    flat = draw(kind, 5, (12,))
    assert_array_equal(draw(kind, 5, (3, 4)).ravel(), flat, strict=True)


@pytest.mark.parametrize(
    "text", ["", "the end of 1234 foxes", "né 🦊<|eot_id|> and", "  a\r\n\tthin"]
)
def test_the_tokenizer_of_the_small_model_is_one_for_the_library_too(tmp_path, text):
    write_quirky(tmp_path)
    library = read_with_library(tmp_path / "tokenizer.json")
    plain = read_bpe(tmp_path / "tokenizer.json")
    assert library.encode(text) == plain.encode(text)
    assert library.bos_ids == plain.bos_ids
    assert library.decode(plain.encode(text)) == plain.decode(plain.encode(text))
