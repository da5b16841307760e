"""Every layout: there and back, against foreign programs, and what must be refused."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from shared import needs_shared, read_shared

from minibitnet.formats import LAYOUTS, base3, i2_s, tl2, tq1_0, tq2_0
from minibitnet.formats.real_blocks import widen_q6_k, widen_q8_0

NAMES = list(LAYOUTS)


def random_codes(M, N, seed=0):
    return np.random.default_rng(seed).integers(-1, 2, (M, N)).astype(np.int8)


@pytest.mark.parametrize("name", NAMES)
@given(data=st.data())
def test_there_and_back(name, data):
    layout = LAYOUTS[name]
    m, n = layout.multiples
    M, N = m * data.draw(st.integers(1, 6)), n * data.draw(st.integers(1, 400 // n + 2))
    if name == "tl2" and (N % 96) % 4:
        N = 96
    w_codes = random_codes(M, N, data.draw(st.integers(0, 2**32)))
    packed = layout.pack(w_codes)
    assert packed.dtype == np.uint8
    assert packed.ndim == 1
    np.testing.assert_array_equal(layout.unpack(packed, M, N), w_codes)


@pytest.mark.parametrize("name", NAMES)
def test_bits_per_weight(name):
    """As the table says, but for a tail of 32 bytes."""
    layout, M, N = LAYOUTS[name], 64, 3 * 2560
    size = len(layout.pack(random_codes(M, N)))
    tail = 32 if name.startswith("i2_s") else 0
    assert (size - tail) * 8 / (M * N) == pytest.approx(layout.bits_per_weight)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("code", [-2, 2, 127, -128])
def test_what_is_no_code_is_refused(name, code):
    w_codes = random_codes(16, 768)
    w_codes[3, 5] = code
    with pytest.raises(ValueError, match="w_codes must be -1, 0 or"):
        LAYOUTS[name].pack(w_codes)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("more", [-1, 1])
def test_bytes_too_many_or_too_few_are_refused(name, more):
    data = np.resize(LAYOUTS[name].pack(random_codes(16, 768)), 16)
    with pytest.raises(ValueError, match="data must be"):
        LAYOUTS[name].unpack(data, 16, 768)
    whole = LAYOUTS[name].pack(random_codes(16, 768))
    with pytest.raises(ValueError, match="data must be"):
        LAYOUTS[name].unpack(np.resize(whole, len(whole) + more), 16, 768)


@pytest.mark.parametrize("name", NAMES)
def test_a_shape_that_does_not_fit_is_refused(name):
    layout = LAYOUTS[name]
    for axis, multiple in enumerate(layout.multiples):
        if multiple > 1:
            shape = [16, 768]
            shape[axis] += 1
            with pytest.raises(ValueError, match="must be a multiple of"):
                layout.pack(random_codes(*shape))
            with pytest.raises(ValueError, match="must be a multiple of"):
                layout.unpack(np.zeros(9, np.uint8), *shape)


@pytest.mark.parametrize("name", NAMES)
def test_a_byte_that_says_nothing_is_refused(name):
    """A byte 0xFF holds what is no code; but 0 where 3 is +1, and 1 in fractions."""
    layout = LAYOUTS[name]
    data = layout.pack(random_codes(16, 768))
    data[7] = {"gpu_int2": 0, "tq1_0": 1}.get(name, 0xFF)
    with pytest.raises(ValueError, match="data must"):
        layout.unpack(data, 16, 768)


@pytest.mark.parametrize("name", NAMES)
def test_no_byte_can_be_read_but_what_can_be_written(name):
    """Each change of a byte gives other codes or is refused; none is overlooked."""
    layout, w_codes = LAYOUTS[name], random_codes(16, 768)
    data = layout.pack(w_codes)
    silent = {"i2_s": 32, "i2_s_arm": 32, "i2_s_rows": 32}.get(name, 0)
    rng = np.random.default_rng(1)
    for _ in range(300):
        at, bit = rng.integers(len(data) - silent), np.uint8(1 << rng.integers(8))
        other = data.copy()
        other[at] ^= bit
        try:
            codes = layout.unpack(other, 16, 768)
        except ValueError:
            continue
        if name.startswith("tq") and at % (66 if name == "tq2_0" else 54) >= (
            64 if name == "tq2_0" else 52
        ):
            continue  # a scale
        assert (codes != w_codes).any()
        np.testing.assert_array_equal(layout.pack(codes)[at], other[at])


def test_one_layout_read_as_another_gives_other_codes():
    w_codes = random_codes(16, 768)
    for one, other in itertools.permutations(NAMES, 2):
        data = LAYOUTS[one].pack(w_codes)
        try:
            codes = LAYOUTS[other].unpack(data, 16, 768)
        except ValueError:
            continue
        assert (codes != w_codes).mean() > 0.3, (one, other)


@pytest.mark.parametrize("module", [tq1_0, tq2_0], ids=["TQ1_0", "TQ2_0"])
def test_llama_cpp_writes_the_same_bytes(module):
    quants = pytest.importorskip("gguf.quants")
    from gguf import GGMLQuantizationType as Type

    kind = Type.TQ1_0 if module is tq1_0 else Type.TQ2_0
    w_codes = random_codes(12, 1024)
    w_codes[1, 256:512] = 0  # a block of zeros has no scale
    scale = np.float32(0.5249)
    foreign = quants.quantize(w_codes * scale, kind)
    data = module.pack(w_codes, scale)
    np.testing.assert_array_equal(data, foreign.reshape(-1))
    scales = module.unpack_scales(data, 12, 1024)
    assert scales[1, 1] == 0
    assert set(scales.ravel().tolist()) == {0.0, float(np.float16(scale))}
    values = quants.dequantize(foreign, kind)
    mine = module.unpack(data, 12, 1024) * np.repeat(scales, 256, 1).astype(np.float32)
    np.testing.assert_array_equal(mine, values)


def test_every_number_of_tq1_0():
    """All 243 as bytes, each read back by its digits; the other 13 refused."""
    digits = np.array(list(itertools.product((-1, 0, 1), repeat=5)), np.int8)
    w_codes = np.zeros((243, 256), np.int8)
    w_codes[:, 0:160:32] = digits
    data = tq1_0.pack(w_codes)
    used = set(data.reshape(243, 54)[:, 0].tolist())
    assert len(used) == 243
    np.testing.assert_array_equal(tq1_0.unpack(data, 243, 256), w_codes)
    for byte in set(range(256)) - used:
        data[0] = byte
        with pytest.raises(ValueError, match="5 digits"):
            tq1_0.unpack(data, 243, 256)


def test_the_scale_of_i2_s_is_a_float32_in_the_tail():
    for pack in (i2_s.pack, i2_s.pack_arm, i2_s.pack_rows):
        data = pack(random_codes(4, 128), 1.2345678)
        assert i2_s.unpack_scale(data) == np.float32(1.2345678)
        assert data[-28:].max() == 0


def test_the_three_kinds_of_i2_s_differ():
    w_codes = random_codes(4, 128)
    read = [i2_s.unpack, i2_s.unpack_arm, i2_s.unpack_rows]
    for n, pack in enumerate((i2_s.pack, i2_s.pack_arm, i2_s.pack_rows)):
        same = [(unpack(pack(w_codes), 4, 128) == w_codes).all() for unpack in read]
        assert same == [m == n for m in range(3)]


def test_bits_that_tl2_has_no_use_for():
    """Zero has no sign; pairs of columns left over go up to 8."""
    data = tl2.pack(np.zeros((1, 100), np.int8))
    for at, byte, message in ((16, 1, "no sign"), (20, 0x90, "up to 8")):
        other = data.copy()
        other[at] = byte
        with pytest.raises(ValueError, match=message):
            tl2.unpack(other, 1, 100)


def test_missing_weights_of_base_3_are_zero():
    data = base3.pack(np.ones((2, 7), np.int8))
    data[1] += 1
    with pytest.raises(ValueError, match="zeros behind the 7"):
        base3.unpack(data, 2, 7)


@needs_shared
def test_bytes_of_the_published_gguf():
    real = read_shared("2b4t/real_2b4t_checkpoint_facts.json")["real_bytes"]
    block = bytes.fromhex(real["gguf_blk0_ffn_down_first32_bytes_hex"])
    trits = bytes.fromhex(real["gguf_first128_trits_hex_i8"])
    data = np.frombuffer(block + bytes(32), np.uint8)
    expected = np.frombuffer(trits, np.int8)[None]
    np.testing.assert_array_equal(i2_s.unpack(data, 1, 128), expected)
    np.testing.assert_array_equal(i2_s.pack(expected)[:32], data[:32])


@pytest.mark.parametrize(
    ("widen", "kind"), [(widen_q8_0, "Q8_0"), (widen_q6_k, "Q6_K")]
)
def test_blocks_of_real_numbers_are_those_of_llama_cpp(widen, kind):
    quants = pytest.importorskip("gguf.quants")
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    weights, size = GGML_QUANT_SIZES[GGMLQuantizationType[kind]]
    rng = np.random.default_rng(0)
    data = rng.integers(0, 256, (6, 3 * size)).astype(np.uint8)
    scale = slice(0, 2) if kind == "Q8_0" else slice(208, 210)
    blocks = data.reshape(-1, size)
    blocks[:, scale] = rng.random((18, 1)).astype(np.float16).view(np.uint8)
    expected = quants.dequantize(data, GGMLQuantizationType[kind])
    np.testing.assert_array_equal(widen(data.reshape(-1), 6, 3 * weights), expected)
    with pytest.raises(ValueError, match="data must be"):
        widen(data.reshape(-1)[1:], 6, 3 * weights)
