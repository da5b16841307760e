from types import SimpleNamespace

import numpy as np
import pytest
from here import needs_compiler
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import products
from test_head import near_ties
from test_threads import in_a_forked_child, needs_fork

import minibitnet as mb
from minibitnet import bf16
from minibitnet.kernels import c, find_head
from minibitnet.kernels.c import CHead, c_matmul, c_project_one, compiled
from minibitnet.kernels.compiler import has_compiler
from minibitnet.kernels.head import Head, project
from minibitnet.kernels.masks import masks_matmul
from minibitnet.kernels.threads import use_threads
from minibitnet.matmul import ternary_matmul
from minibitnet.packing import pack

pytestmark = needs_compiler


@pytest.mark.parametrize("threads", [1, 2, 3, 7])
@pytest.mark.parametrize("N", [1, 63, 64, 65, 1279, 1280, 1281, 2600])
@pytest.mark.parametrize("T", [1, 2, 5])
def test_around_the_sizes_of_its_blocks(threads, N, T, monkeypatch):
    monkeypatch.setattr(c, "WORTH", 0)
    rng = np.random.default_rng(N)
    x_codes = rng.integers(-128, 128, (T, N), np.int8)
    several = [rng.integers(-1, 2, (M, N), np.int8) for M in (1, 5, 13)]
    packed = [pack(w) for w in several]
    with use_threads(threads):
        accs = c_matmul(compiled(), x_codes, packed)
    for acc, p in zip(accs, packed, strict=True):
        assert_array_equal(acc, masks_matmul(x_codes, p), strict=True)


@given(products())
def test_arrays_of_any_order_are_taken(product):
    x_codes, w_codes = product
    packed = np.asfortranarray(pack(w_codes))
    [acc] = c.prepare([packed[::-1][::-1]], [len(w_codes)])(np.asfortranarray(x_codes))
    assert_array_equal(acc, ternary_matmul(x_codes, w_codes), strict=True)
    spread = np.repeat(x_codes, 2, axis=1)[:, ::2]
    [acc] = c.prepare([packed], [len(w_codes)])(spread)
    assert_array_equal(acc, ternary_matmul(x_codes, w_codes), strict=True)


def test_a_mapped_file_is_read_where_it_is(tmp_path):
    rng = np.random.default_rng(0)
    w_codes = rng.integers(-1, 2, (40, 300), np.int8)
    with open(tmp_path / "weights", "wb") as stream:
        stream.write(b"odd")  # so that no row begins where a word does
        stream.write(pack(w_codes).tobytes())
    mapped = np.memmap(tmp_path / "weights", np.uint8, "r", 3, (10, 300))
    x_codes = rng.integers(-128, 128, (3, 300), np.int8)
    [acc] = c.prepare([mapped], [40])(x_codes)
    assert_array_equal(acc, ternary_matmul(x_codes, w_codes), strict=True)
    assert np.ascontiguousarray(mapped).ctypes.data == mapped.ctypes.data


def test_activations_of_another_width_are_refused():
    multiply = c.prepare([np.zeros((2, 5), np.uint8)], [8])
    for N in (4, 6):  # one would be read behind its end, the other before
        with pytest.raises(ValueError, match=f"as many columns .*, got {N}"):
            multiply(np.zeros((1, N), np.int8))


def test_a_copy_begins_where_a_line_does():
    for length in range(1, 30):
        array = np.arange(length, dtype=np.int8)
        copy = c.aligned(array, np.int16)
        assert copy.ctypes.data % 64 == 0
        assert_array_equal(copy, array.astype(np.int16), strict=True)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("N", [1, 31, 32, 33, 500])
def test_the_head_is_the_product_with_the_widened_matrix(threads, N, monkeypatch):
    monkeypatch.setattr(c, "HEAD_WORTH", 0)
    rng = np.random.default_rng(N)
    x, W = (rng.integers(-8, 9, (rows, N)).astype(np.float32) for rows in (3, 50))
    bits = bf16.narrow(W)
    bits.flags.writeable = False
    with use_threads(threads):
        for token in x:
            assert_array_equal(CHead(bits).one(token), W @ token, strict=True)
        assert_array_equal(CHead(bits).all(x), x @ W.T, strict=True)
        assert_array_equal(CHead(bits[::2]).one(x[0]), W[::2] @ x[0], strict=True)


@given(near_ties())
def test_every_logit_is_summed_in_float64_and_rounded_once(case):
    x, bits = case
    exact, found = project(x[None], bits)[0], c_project_one(compiled(), x, bits)
    # Sums in another order part by 1e-15, and seldom fall on two float32 at all.
    assert np.abs(found - exact).max() <= np.spacing(np.abs(exact).max())
    assert (found == exact).mean() > 0.9


def test_a_sum_that_float32_would_lose_is_kept():
    x = np.array([2.0**30, 1, -(2.0**30)], np.float32)
    assert CHead(bf16.narrow(np.ones((1, 3), np.float32))).one(x) == 1


def test_a_head_of_float32_is_left_to_numpy():
    W = np.array([[1.5, -2], [0, 3]], np.float32)
    x = np.array([2, 1], np.float32)
    assert_array_equal(CHead(W).one(x), Head(W).one(x), strict=True)


def test_logits_that_are_no_numbers_stay_so():
    bits = bf16.narrow(np.ones((3, 40), np.float32))
    x = np.ones(40, np.float32)
    for n in (0, 39):
        broken = np.where(np.arange(40) == n, np.float32(np.nan), x)
        assert np.isnan(CHead(bits).one(broken)).all()


def test_a_model_says_the_same_with_it(checkpoint):
    plain, fast = (mb.load(checkpoint, kernel=k, threads=2)[0] for k in ("masks", "c"))
    assert isinstance(fast.head, CHead)
    ids = [5, 3, 90, 7, 7, 2]
    with mb.trace() as expected:
        mb.forward(plain, ids)
    with mb.trace() as found:
        mb.forward(fast, ids)
    for name, array in expected.items():
        assert_array_equal(found[name], array, strict=True)
    written = [list(mb.generate(model, ids, 40)) for model in (plain, fast)]
    assert written[0] == written[1]


def test_a_head_belongs_to_a_kernel():
    assert find_head("c") is CHead
    assert find_head("auto") is find_head(c.prepare) is Head


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_computes_the_same():
    rng = np.random.default_rng(0)
    x_codes = rng.integers(-128, 128, (3, 300), np.int8)
    packed = pack(rng.integers(-1, 2, (4000, 300), np.int8))

    def compute():
        with use_threads(2):
            [acc] = c_matmul(compiled(), x_codes, [packed])
        return np.array_equal(acc, masks_matmul(x_codes, packed))

    assert compute()
    assert in_a_forked_child(compute)


@pytest.mark.parametrize("named", ["cc", "gcc", "clang"])
@pytest.mark.parametrize(
    ("options", "bits"),
    [("-D__AVX512VNNI__", 8), ("-U__AVX512VNNI__ -U__AVXVNNI__", 16), ("-O0", None)],
)
def test_every_compiler_and_either_width_is_right(
    named, options, bits, monkeypatch, tmp_path
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", f"{named} {options}")
    if not has_compiler():
        pytest.skip(f"no {named} here")
    code = c.load_code()
    assert bits in (None, 8 * np.dtype(code.activation).itemsize)
    assert c.is_right(code)


def spoilt(change):
    """The functions, the results of one of which are changed."""
    code = compiled()

    def ternary(packed, x, acc, T, N, R, first, last):
        code.ternary(packed, x, acc, T, N, R, first, last)
        if change == "product":
            import ctypes

            ctypes.c_int32.from_address(acc + 4 * first).value += 1

    def head(bits, x, logits, N, first, last):
        code.head(bits, x, logits, N, first, last - (change == "head"))

    return code._replace(ternary=ternary, head=head)


def test_what_computes_something_else_is_refused(monkeypatch):
    assert c.is_right(spoilt("nothing"))
    for change in ("product", "head"):
        monkeypatch.setattr(c, "load_code", lambda change=change: spoilt(change))
        with pytest.raises(ValueError, match="kernel c: expected the numbers of masks"):
            compiled.__wrapped__()


@pytest.mark.parametrize(
    "text",
    [
        "int nothing;",
        "int activation_bytes = 1; void ternary(void) {}",
        "int activation_bytes = 3; void ternary(void) {} void head(void) {}",
    ],
)
def test_a_library_with_other_functions_is_refused(text, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(c, "SOURCE", tmp_path / "other.c")
    c.SOURCE.write_text(text)
    with pytest.raises(ValueError, match="kernel c: expected a library with the func"):
        compiled.__wrapped__()


def test_where_the_smallest_numbers_are_lost_it_is_refused(monkeypatch):
    lost = SimpleNamespace(float_info=SimpleNamespace(min=0.0))
    monkeypatch.setattr(c, "sys", lost)
    assert not c.is_right(compiled())


@pytest.fixture
def no_compiler(monkeypatch):
    monkeypatch.setenv("CC", "no-such-compiler")
    compiled.cache_clear()
    yield
    compiled.cache_clear()


def test_without_a_compiler_it_is_refused_before_anything_is_read(no_compiler):
    with pytest.raises(ValueError, match="kernel c: .*no no-such-compiler"):
        mb.load("no/such/place/here", kernel="c")


def test_the_command_says_so_in_a_line(no_compiler, run, checkpoint):
    words = ("generate", "--ids", "1", "--model", checkpoint, "--kernel", "c")
    status, out, err = run(*words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("minibitnet: kernel c: expected a C compiler")


def test_nobody_else_compiles(no_compiler, run, checkpoint, monkeypatch):
    monkeypatch.setattr(c, "load_code", lambda: pytest.fail("compiled"))
    words = ("generate", "--ids", "1", "--model", checkpoint, "--max-new-tokens", 2)
    assert run(*words)[0] == 0


@given(st.integers(1, 6), st.integers(1, 200))
def test_the_largest_sums_are_exact(T, N):
    x_codes = np.full((T, N), -128, np.int8)
    w_codes = np.array([[1], [-1], [0]], np.int8).repeat(N, axis=1)
    [acc] = c.prepare([pack(w_codes)], [3])(x_codes)
    assert_array_equal(acc, np.int32([[-128 * N, 128 * N, 0]] * T), strict=True)
