"""Layouts are told apart where they can be, and it is said where they cannot."""

import numpy as np
import pytest

from minibitnet.checkpoint.packedbytes import read_file
from minibitnet.formats import LAYOUTS
from minibitnet.formats.detect import (
    CLEAR,
    READINGS,
    TILED,
    UNTRIED,
    Guess,
    Verdict,
    detect,
    judge,
    pool,
    structure,
)
from minibitnet.formats.other_orders import ARRANGEMENTS, MAPS, ORDERS, SHIFTS
from minibitnet.stories import BUILT_IN

M, N = 64, 1536


def trained_codes(seed=0):
    """Codes as a trained matrix has them: rows and columns differ in zeros."""
    rng = np.random.default_rng(seed)
    alive = rng.random(N).astype(np.float32)
    busy = rng.random((M, 1)) * alive > rng.random((M, N))
    return (busy * rng.choice([-1, 1], (M, N))).astype(np.int8), alive


def random_codes(seed=0, shape=(M, N)):
    return np.random.default_rng(seed).integers(-1, 2, shape).astype(np.int8)


def pack(name, w_codes):
    """The bytes in a layout, or in an order that is none."""
    if name in LAYOUTS:
        return LAYOUTS[name].pack(w_codes)
    (M, N), order = w_codes.shape, name
    for ending, (plus, _) in MAPS.items():
        if ending and name.endswith(ending):
            order, stored = name.removesuffix(ending), (w_codes + 1 - plus) & 3
            break
    else:
        stored = w_codes + 1
    arrangement, _, first = order.rpartition("_")
    places = ARRANGEMENTS[arrangement](np.arange(M * N).reshape(-1, 4), M, N)
    fours = np.empty(M * N, np.uint8)
    fours[places.ravel()] = stored.ravel()
    shifts = np.array(SHIFTS[first], np.uint8)
    return np.bitwise_or.reduce(fours.reshape(-1, 4) << shifts, axis=1)


def verdict_on(data, M, N, **known):
    return judge(detect(data, M, N, **known), data.size)


@pytest.mark.parametrize("name", READINGS)
def test_every_order_is_read_as_it_says(name):
    w_codes = random_codes(shape=(16, 768))
    np.testing.assert_array_equal(READINGS[name](pack(name, w_codes), 16, 768), w_codes)


def test_an_order_by_hand():
    """Eight rows of a column, in quarters; the layouts of two bits are the same."""
    w_codes = np.array([[-1], [0], [1], [1], [-1], [-1], [1], [0]], np.int8)
    assert pack("quarters_high", w_codes).tolist() == [0b00_10_00_10, 0b01_10_00_01]
    other = random_codes(shape=(16, 768))
    for order, layout in (
        ("quarters_low", "packed"),
        ("blocks_128_high", "i2_s"),
        ("blocks_64_high", "i2_s_arm"),
        ("rows_high", "i2_s_rows"),
    ):
        data = LAYOUTS[layout].pack(other)[: other.size // 4]
        np.testing.assert_array_equal(pack(order, other), data)
    codes = LAYOUTS["tq2_0"].pack(other).reshape(-1, 66)[:, :64]
    np.testing.assert_array_equal(pack("blocks_128_low", other), codes.ravel())
    for order in ORDERS:
        if order.startswith(("rows", "quarters")):
            with pytest.raises(ValueError, match="M must be a multiple of 4"):
                ORDERS[order](np.full(6, 0x55, np.uint8), 6, 4)


def test_where_rows_are_missing_in_the_last_bytes_nothing_is_sure():
    """Read in another order they are among the rows that are there, and look odd."""
    w_codes = np.full((44, 96), -1, np.int8)
    w_codes[:42] = random_codes(shape=(42, 96))
    for name in ("packed", "quarters_high", "rows_low"):
        guesses = detect(pack(name, w_codes), 42, 96)
        assert judge(guesses) == (("packed",), False, UNTRIED)
        assert (
            judge(pool([guesses, detect(pack(name, w_codes), 44, 96)])).why == UNTRIED
        )


@pytest.mark.parametrize("name", LAYOUTS)
@pytest.mark.parametrize("seed", range(5))
def test_the_right_layout_comes_first(name, seed):
    w_codes, alive = trained_codes(seed)
    busy = (w_codes != 0).mean(axis=1, dtype=np.float32)
    guesses = detect(LAYOUTS[name].pack(w_codes), M, N, alive, busy)
    assert judge(guesses).layouts == (name,)
    assert judge(guesses).sure == (name not in TILED)
    for guess in guesses[1:]:
        assert guess.possible == (guess.why == "possible")


@pytest.mark.parametrize("name", READINGS)
def test_bytes_alone_are_never_taken_for_what_they_are_not(name):
    w_codes, _ = trained_codes()
    verdict = verdict_on(pack(name, w_codes), M, N)
    assert name in verdict.layouts
    assert not verdict.sure or verdict.layouts == (name,)
    rival = {"i2_s": "i2_s_arm", "i2_s_arm": "i2_s", "packed": "rows_low"}
    assert not rival.keys() & {name} or rival[name] in verdict.layouts


def built_in():
    return [
        pytest.param(stored, id=stored.name) for stored in read_file(BUILT_IN).packed
    ]


@pytest.mark.parametrize("stored", built_in())
def test_matrices_of_a_trained_model_are_what_they_are_or_a_tie(stored):
    [(M, N)] = stored.shapes
    w_codes = LAYOUTS["packed"].unpack(stored.data, M, N)
    known = [{}, {"inputs": stored.inputs, "outputs": stored.outputs}]
    seen = 0
    for name in LAYOUTS:
        try:
            data = LAYOUTS[name].pack(w_codes)
        except ValueError:  # no such shape
            continue
        seen += 1
        for given in known:
            verdict = verdict_on(data, M, N, **given)
            assert name in verdict.layouts, name
            assert not verdict.sure or verdict.layouts == (name,)
    assert seen >= 4


@pytest.mark.parametrize("seed", range(20))
def test_random_weights_are_not_said_to_be_anything(seed):
    w_codes = random_codes(seed)
    assert abs(structure(w_codes)) < CLEAR
    for name in ("i2_s", "packed", "gpu_int2"):
        verdict = verdict_on(LAYOUTS[name].pack(w_codes), M, N)
        assert name in verdict.layouts
        assert not verdict.sure
        assert verdict.why == "they cannot be told apart"


@pytest.mark.parametrize("name", TILED)
def test_of_tiles_nothing_is_known(name):
    """A tile is rows and columns in another order, which is as valid."""
    w_codes, _ = trained_codes()
    for codes in (w_codes, w_codes[np.random.default_rng(0).permutation(M)]):
        verdict = verdict_on(LAYOUTS[name].pack(codes), M, N)
        assert verdict[:2] == ((name,), False)
        assert verdict.why.endswith("but in files it is in unknown tiles")


@pytest.mark.parametrize("name", ["tq2_0", "tq1_0", "base3"])
def test_of_random_weights_the_bytes_are_known_but_not_their_order(name):
    verdict = verdict_on(LAYOUTS[name].pack(random_codes()), M, N)
    assert verdict.layouts == (name,)
    assert verdict.why.endswith("too even to say that their order is right")


def test_formats_come_before_orders_that_no_format_has():
    verdict = verdict_on(LAYOUTS["packed"].pack(random_codes()), M, N)
    assert verdict.layouts[0] == "packed"
    assert len(verdict.layouts) == 10


def wrong_data(size):
    rng = np.random.default_rng(1)
    text = "Alice was beginning to get very tired of sitting by her sister. " * 999
    numbers = rng.normal(scale=0.02, size=size).astype("<f4")
    return {
        "text": np.frombuffer(text.encode(), np.uint8)[:size],
        "zeros": np.zeros(size, np.uint8),
        "random": rng.integers(0, 256, size).astype(np.uint8),
        "float32": numbers.view(np.uint8)[:size],
        "bfloat16": (numbers.view(np.uint32) >> 16).astype("<u2").view(np.uint8)[:size],
        "float32 trits": random_codes(2, (size,)).astype("<f4").view(np.uint8)[:size],
        "int8 trits": random_codes(3, (size,)).view(np.uint8),
        "uint8 trits": rng.integers(0, 3, size).astype(np.uint8),
        "8 bits": rng.normal(121, 20, size).clip(0, 242).astype(np.uint8),
        "alternating": np.full(size, 0x55, np.uint8),
        "halves": np.resize(np.uint8([0x12, 0x84]), size),
        "ramp": (np.arange(size) % 243).astype(np.uint8),
    }


@pytest.mark.parametrize("what", wrong_data(4))
@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_no_layout_at_all(name, what):
    size = len(LAYOUTS[name].pack(random_codes()))
    verdict = verdict_on(wrong_data(size)[what], M, N)
    assert verdict == Verdict((), False, "no layout known here gives a ternary matrix")


def test_another_code_for_zero_is_seen():
    """0, +1, -1 as 0, 1, 2, in the checkpoint's order: the codes are out of balance."""
    w_codes, _ = trained_codes()
    stored = np.array([2, 0, 1], np.uint8)[w_codes + 1].reshape(4, -1)
    shifts = np.array([[0], [2], [4], [6]], np.uint8)
    data = np.bitwise_or.reduce(stored << shifts, axis=0)
    [packed] = [g for g in detect(data, M, N) if g.layout == "packed"]
    assert packed.why.startswith("the codes are out of balance")
    rare = np.where(random_codes() == 0, random_codes(1), random_codes())
    rare[rare == 0] = np.random.default_rng(2).choice([0, 1, -1], (rare == 0).sum())
    stored = np.array([2, 0, 1], np.uint8)[np.int8(rare) + 1].reshape(4, -1)
    data = np.bitwise_or.reduce(stored << shifts, axis=0)
    [packed] = [g for g in detect(data, M, N) if g.layout == "packed"]
    assert not packed.possible


def test_scales_must_be_some():
    for name, at, messages in (
        ("i2_s", slice(-32, -28), {np.nan: "million", -1: "million", 0: "are 0"}),
        ("i2_s_rows", slice(-32, -28), {np.inf: "million", 1e9: "million"}),
    ):
        for scale, message in messages.items():
            data = LAYOUTS[name].pack(random_codes())
            data[at] = np.frombuffer(np.float32(scale).tobytes(), np.uint8)
            [guess] = [g for g in detect(data, M, N) if g.layout == name]
            assert message in guess.why
    data = LAYOUTS["tq2_0"].pack(random_codes())
    data[64:66] = 0  # a block of zeros has none, says llama.cpp
    assert detect(data, M, N)[0].layout == "tq2_0"
    data[65] = 1
    [guess] = [g for g in detect(data, M, N) if g.layout == "tq2_0"]
    assert guess.why == "the blocks of a row have different scales"


def test_few_bytes_are_too_few():
    data = LAYOUTS["base3"].pack(random_codes(shape=(8, 50)))
    assert verdict_on(data, 8, 50) == (
        ("base3",),
        False,
        "80 bytes are too few to tell",
    )


def test_matrices_of_one_file_are_judged_together():
    possible = [Guess(name, True, 6.0, "possible") for name in READINGS]
    pooled = pool([possible] * 4)
    assert {guess.score for guess in pooled} == {12.0}
    other = [g._replace(possible=g.layout != "i2_s", why="no") for g in possible]
    assert pool([possible, other])[-1] == other[1]
    one = [g._replace(score=20.0 if g.layout == "tl1" else 0.0) for g in possible]
    assert judge(pool([one])).why == (
        "its rows and columns differ most, 20 standard deviations ahead of the next"
    )


@pytest.mark.parametrize("code", [-1, 0, 1])
def test_a_matrix_of_one_code_has_no_structure(code):
    assert structure(np.full((M, N), code, np.int8)) == 0


def test_rows_or_columns_that_are_all_the_same():
    row = np.repeat(random_codes(shape=(1, N)), M, axis=0)
    for codes in (row, np.ascontiguousarray(row.T)):
        guess = detect(LAYOUTS["base3"].pack(codes), *codes.shape)[0]
        assert not guess.possible


def test_zeros_that_go_by_the_position_in_a_byte():
    """Eight-bit numbers about a middle: of five digits the first is mostly 1."""
    numbers = np.random.default_rng(0).normal(121, 14, 64 * 308).clip(0, 242)
    data = numbers.astype(np.uint8)
    [guess] = [g for g in detect(data, 64, 1540) if g.layout == "base3"]
    assert guess.why == "the zeros go by the position among 5 neighbours"
    ok = detect(LAYOUTS["base3"].pack(random_codes(shape=(1, 1536))), 1, 1536)
    assert ok[0].possible  # one row, whose columns have one number each
