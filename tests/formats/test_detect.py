"""Layouts are told apart where they can be, and it is said where they cannot."""

import numpy as np
import pytest

from minibitnet.formats import LAYOUTS
from minibitnet.formats.detect import CLEAR, detect, structure

M, N = 64, 1536


def trained_codes(seed=0):
    """Codes as a trained matrix has them: rows and columns differ in zeros."""
    rng = np.random.default_rng(seed)
    alive = rng.random(N).astype(np.float32)
    busy = rng.random((M, 1)) * alive > rng.random((M, N))
    return (busy * rng.choice([-1, 1], (M, N))).astype(np.int8), alive


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("seed", range(5))
def test_the_right_layout_comes_first(name, seed):
    w_codes, alive = trained_codes(seed)
    best, *others = detect(LAYOUTS[name].pack(w_codes), M, N, alive)
    assert best.layout == name
    assert best.why in ("most structure", "no other is possible")
    for other in others:
        assert other.why == "less structure" or not other.possible
        assert other.possible or other.why.startswith("data must")


def test_blocks_of_128_and_64_cannot_be_told_by_the_bytes_alone():
    w_codes, _ = trained_codes()
    best = detect(LAYOUTS["i2_s_arm"].pack(w_codes), M, N)[0]
    assert best.why.startswith("cannot be told from i2_s")


@pytest.mark.parametrize("seed", range(20))
def test_random_weights_are_not_said_to_be_anything(seed):
    rng = np.random.default_rng(seed)
    w_codes = rng.integers(-1, 2, (M, N)).astype(np.int8)
    assert abs(structure(w_codes)) < CLEAR
    best = detect(LAYOUTS["i2_s"].pack(w_codes), M, N)[0]
    assert best.why.startswith("cannot be told from")


def test_what_is_no_layout_at_all():
    guesses = detect(np.zeros(17, np.uint8), M, N)
    assert not any(guess.possible for guess in guesses)
    assert len(guesses) == len(LAYOUTS)


@pytest.mark.parametrize("code", [-1, 0, 1])
def test_a_matrix_of_one_code_has_no_structure(code):
    assert structure(np.full((M, N), code, np.int8)) == 0
