# Each pattern is made on random arrays and must be named; noise must not be.

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from minibitnet import bf16
from minibitnet.golden.patterns import name_pattern

SHAPES = st.tuples(st.integers(4, 7), st.integers(3, 6).map(lambda n: 2 * n))
SEEDS = st.integers(0, 2**32 - 1)


def reals(seed, shape):
    """Numbers of either sign, none of them small or like another."""
    rng = np.random.default_rng(seed)
    spread = rng.permutation(np.prod(shape)).reshape(shape) + rng.uniform(
        0.1, 0.9, shape
    )
    return (spread * rng.choice([-1, 1], shape)).astype(np.float32)


def wholes(seed, shape, dtype=np.int32, step=3):
    """Whole numbers at least `step` from each other, of either sign."""
    rng = np.random.default_rng(seed)
    spread = (rng.permutation(np.prod(shape)).reshape(shape) + 1) * step
    return (spread * rng.choice([-1, 1], shape)).astype(dtype)


BOTH = st.sampled_from([reals, wholes])
PATTERNS = {
    "the sign is the other one everywhere": lambda a: -a,
    "the halves of each row are swapped": lambda a: np.roll(a, a.shape[1] // 2, axis=1),
    "interleaved: ": lambda a: a.reshape(len(a), 2, -1).swapaxes(1, 2).reshape(a.shape),
    "parted: ": lambda a: a.reshape(len(a), -1, 2).swapaxes(1, 2).reshape(a.shape),
    "neighbours are swapped": lambda a: a.reshape(len(a), -1, 2)[:, :, ::-1].reshape(
        a.shape
    ),
    "transposed: columns are read": lambda a: a.T.reshape(a.shape),
    "shifted: the rows come 1 too late": lambda a: np.roll(a, 1, axis=0),
    "shifted: the rows come 1 too early": lambda a: np.roll(a, -1, axis=0),
    "shifted: the columns come 1 too late": lambda a: np.roll(a, 1, axis=1),
    "the rows come in another order: ": lambda a: a[[1, 0, *range(2, len(a))]],
    "the columns come in another order: ": lambda a: a[
        :, [*range(1, a.shape[1] - 1), 0, a.shape[1] - 1]
    ],
    "only row 2": lambda a: np.where(np.arange(len(a))[:, None] == 2, 5 * a + 9, a),
    "only rows 1 to 2": lambda a: np.where(
        np.isin(np.arange(len(a)), [1, 2])[:, None], 5 * a + 9, a
    ),
    "only column 3": lambda a: np.where(np.arange(a.shape[1]) == 3, 5 * a + 9, a),
    "a constant factor: 3 times": lambda a: 3 * a,
    "a factor for each row: ": lambda a: a * (2 + np.arange(len(a)))[:, None],
    "shape ": lambda a: a[:-1],
    "transposed: shape": lambda a: a.T,
    "the same numbers in another shape": lambda a: a.reshape(-1),
}


@pytest.mark.parametrize("words", PATTERNS)
@settings(max_examples=25)
@given(make=BOTH, seed=SEEDS, shape=SHAPES)
def test_each_pattern_is_named(words, make, seed, shape):
    assume(words != "transposed: shape" or shape[0] != shape[1])
    right = make(seed, shape)
    port = PATTERNS[words](right).astype(right.dtype)
    assert name_pattern(right, port).startswith(words)
    if make is reals and port.shape == shape:  # seen through other last bits
        rng = np.random.default_rng(seed)
        noise = (1 + rng.uniform(-1e-7, 1e-7, port.shape)).astype(np.float32)
        assert name_pattern(right, port * noise).startswith(words)


@settings(max_examples=25)
@given(make=BOTH, seed=SEEDS, other=SEEDS, shape=SHAPES)
def test_noise_is_not_named(make, seed, other, shape):
    right = make(seed, shape)
    factor = np.random.default_rng(other).uniform(2, 9, shape)
    noise = (right * factor + np.sign(right) * 3).astype(right.dtype)
    assert name_pattern(right, noise) == ""


@settings(max_examples=25)
@given(arrays(np.float32, SHAPES, elements=st.floats(-9, 9, width=32)))
def test_equal_arrays_have_no_pattern(array):
    assert name_pattern(array, array.copy()) == ""


@settings(max_examples=25)
@given(seed=SEEDS, shape=SHAPES)
def test_last_bits_are_named_unless_a_faint_row_is_wrong(seed, shape):
    right = reals(seed, shape)
    right[0] *= np.float32(1e7)
    bits = np.nextafter(right, np.float32(np.inf))
    assert name_pattern(right, bits).startswith("only the last bits")
    bits[1] *= np.float32(1.1)
    assert not name_pattern(right, bits).startswith("only the last bits")


@settings(max_examples=25)
@given(seed=SEEDS, shape=SHAPES, up=st.sampled_from([1, -1]))
def test_integers_off_by_one_are_named(seed, shape, up):
    right = wholes(seed, shape)
    way = "high" if up == 1 else "low"
    assert name_pattern(right, right + up) == f"one too {way} everywhere"
    some = right.copy()
    some[1, 1] += up
    some[2, 0] += up
    assert name_pattern(right, some) == f"one too {way} in 2 of {right.size}"
    some[3, 1] -= up
    assert name_pattern(right, some) == f"off by one in 3 of {right.size}"


@settings(max_examples=25)
@given(seed=SEEDS, shape=SHAPES, bits=st.sampled_from([8, 16]))
def test_sums_that_do_not_fit_are_named(seed, shape, bits):
    right = wholes(seed, shape, step=2 ** (bits - 3) - 1)
    high = 2 ** (bits - 1) - 1
    assume((np.abs(right) > high + 1).any())
    narrow = np.clip(right, -high - 1, high)
    assert name_pattern(right, narrow).startswith(f"saturated at int{bits}")
    wrapped = right.astype(f"int{bits}").astype(np.int32)
    assert name_pattern(right, wrapped).startswith(f"wrapped at int{bits}")


@settings(max_examples=25)
@given(seed=SEEDS, shape=SHAPES)
def test_signs_of_some_are_named(seed, shape):
    right = reals(seed, shape)
    some = right.copy()
    some[1, :2] *= -1
    text = f"the sign alone is wrong, in 2 of {right.size}"
    assert name_pattern(right, some) == text


@settings(max_examples=25)
@given(seed=SEEDS, heads=st.integers(2, 5))
def test_one_head_is_named(seed, heads):
    right = reals(seed, (3, heads, 4))
    port = right.copy()
    port[:, 1] = port[:, 1] * 3 - 7
    assert name_pattern(right, port) == "only head 1"
    flat = right.reshape(3, -1), port.reshape(3, -1)
    assert name_pattern(*flat, heads=heads) == "only head 1"
    assert name_pattern(*flat) == "only columns 4 to 7"


@settings(max_examples=25)
@given(seed=SEEDS, step=st.integers(2, 4))
def test_every_nth_row_is_named(seed, step):
    right = reals(seed, (3 * step, 4))
    port = right.copy()
    port[1::step] = port[1::step] ** 2 + 7
    assert name_pattern(right, port) == f"only every {step}th row, from row 1"
    port[0] += 5
    assert name_pattern(right, port).startswith("only rows 0, 1")


@settings(max_examples=25)
@given(seed=SEEDS, shape=SHAPES)
def test_codes_that_differ_only_at_ties_are_named(seed, shape):
    right = wholes(seed, shape, np.int8, 1)
    ties = np.random.default_rng(seed).random(shape) < 0.3
    ties[0, 0] = True
    port = right + ties.astype(np.int8)
    assert name_pattern(right, port, ties).startswith("only at ties")
    port[ties.argmin() // shape[1], ties.argmin() % shape[1]] += 1
    assume(not ties.all())
    assert not name_pattern(right, port, ties).startswith("only at ties")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_none_are_named(bad):
    right = reals(3, (3, 4))
    port = right.copy()
    port[1, 2:] = bad
    what = "NaN" if np.isnan(bad) else "infinity"
    expected = f"{what} in 2 of 12 numbers, first in row 1"
    assert name_pattern(right, port) == expected
    assert name_pattern(port, right) == ""  # the right one is beyond judging
    whole = right.astype(np.int32)
    assert (
        name_pattern(whole, whole.astype(float)) == "dtype float64 where int32 is right"
    )


def test_an_array_that_says_little_has_no_order():
    right = np.int32([[5, 0, 0, 9]])
    assert name_pattern(right, np.int32([[0, 9, 5, 0]])) == ""
    assert name_pattern(np.int32(7), np.int32(70)) == ""
    assert name_pattern(np.zeros((0, 3)), np.zeros((0, 3))) == ""


@given(SEEDS, SHAPES)
def test_floats_of_half_the_bits_are_named(seed, shape):
    right = reals(seed, shape)
    upper = right.view(np.uint32) & np.uint32(0xFFFF0000)
    cut = upper.view(np.float32)
    rounded = bf16.widen(bf16.narrow(right))
    assume(not np.array_equal(cut, rounded))
    assert name_pattern(right, cut) == "the right numbers cut off to bfloat16"
    assert name_pattern(right, rounded) == "the right numbers rounded to bfloat16"
    halves = right.astype(np.float16).astype(np.float32)
    assert name_pattern(right, halves) == "the right numbers rounded to float16"


@given(SEEDS, SHAPES, st.sampled_from([-3e-6, -1e-6, 1e-6, 4e-6]))
def test_a_factor_that_is_almost_one_is_not_taken_for_last_bits(seed, shape, by):
    right = reals(seed, shape)
    words = "a factor for each row, almost 1: "
    assert name_pattern(right, right * np.float32(1 + by)).startswith(words)
    noise = np.random.default_rng(seed).choice([-1e-6, 1e-6], shape)
    noise[0, :2] = [-1e-6, 1e-6]
    noisy = (right * (1 + noise)).astype(np.float32)
    assert name_pattern(right, noisy).startswith("only the last bits")
    right[1] = 0
    again = right * np.float32(1 + by)
    assert name_pattern(right, again).startswith("only the last bits")


@given(SEEDS, SHAPES)
def test_the_other_order_of_bytes_is_named_and_not_what_it_looks_like(seed, shape):
    right = reals(seed, shape)
    right[0, 0] = np.array(0xC07F, np.uint32).view(np.float32)  # NaN, swapped
    for array in (right, wholes(seed, shape)):
        expected = "the bytes of each number come in the other order (big-endian)"
        assert name_pattern(array, array.byteswap()) == expected
        assert name_pattern(array, array) == ""


@given(SEEDS, SHAPES)
def test_zeros_are_called_so(seed, shape):
    for right in (reals(seed, shape), wholes(seed, shape)):
        right[0, 0] = 300
        assert name_pattern(right, np.zeros_like(right)).startswith("all zeros, as")
