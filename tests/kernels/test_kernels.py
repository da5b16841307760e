import numpy as np
import pytest
from here import KERNELS_HERE
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from strategies import products

from minibitnet.checkpoint.configfile import parse_config
from minibitnet.files.published import CONFIG
from minibitnet.kernels import auto, blas, c, find_kernel, lookup, popcount
from minibitnet.kernels.threads import use_threads
from minibitnet.matmul import ternary_matmul
from minibitnet.packing import pack
from minibitnet.weights import matrices

every_kernel = pytest.mark.parametrize("kernel", KERNELS_HERE)


@every_kernel
@given(product=products())
def test_a_kernel_returns_the_very_product_of_the_masks(kernel, product):
    x_codes, w_codes = product
    multiply = find_kernel(kernel)([pack(w_codes)], [len(w_codes)])
    [acc] = multiply(x_codes)
    assert_array_equal(acc, ternary_matmul(x_codes, w_codes), strict=True)


@every_kernel
@given(product=products(), threads=st.integers(2, 5))
def test_threads_change_nothing(kernel, product, threads):
    x_codes, w_codes = product
    multiply = find_kernel(kernel)([pack(w_codes)], [len(w_codes)])
    with use_threads(threads), pytest.MonkeyPatch.context() as monkeypatch:
        for module in (blas, lookup, popcount, c):  # however small the parts
            monkeypatch.setattr(module, "WORTH", 0)
        [acc] = multiply(x_codes)
    assert_array_equal(acc, ternary_matmul(x_codes, w_codes), strict=True)


@every_kernel
@given(product=products())
def test_matrices_of_the_same_input_are_multiplied_each_by_itself(kernel, product):
    x_codes, w_codes = product
    several = [w_codes, -w_codes[:1], w_codes[::-1]]
    multiply = find_kernel(kernel)(
        [pack(w) for w in several], [len(w) for w in several]
    )
    accs = multiply(x_codes)
    for acc, w in zip(accs, several, strict=True):
        assert_array_equal(acc, ternary_matmul(x_codes, w), strict=True)


@every_kernel
def test_a_kernel_leaves_codes_and_bytes_alone(kernel):
    x_codes, packed = np.ones((2, 5), np.int8), np.zeros((3, 5), np.uint8)
    x_codes.flags.writeable = packed.flags.writeable = False  # as in a mapped file
    [acc] = find_kernel(kernel)([packed], [12])(x_codes)
    assert_array_equal(acc, np.full((2, 12), -5, np.int32), strict=True)


@every_kernel
@pytest.mark.parametrize("columns", [0, 1, 2500, 131_072])
@pytest.mark.parametrize("code", [-128, -127, 127])
def test_more_columns_than_float32_holds_are_exact(kernel, columns, code):
    N = 131_072 + columns  # with 131,072 the sums are at most 2**24
    x_codes = np.full((1, N), code, np.int8)
    w_codes = np.ones((5, N), np.int8)
    w_codes[1:, -1] = 0  # with an odd code an odd sum, the first that float32 lacks
    w_codes[2:, ::2] = -1
    [acc] = find_kernel(kernel)([pack(w_codes)], [5])(x_codes)
    assert_array_equal(
        acc, code * w_codes.sum(axis=1, dtype=np.int32)[None], strict=True
    )


@every_kernel
@pytest.mark.parametrize("T", [1, auto.FEW + 1])
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("shape", sorted({*matrices(parse_config(CONFIG)).values()}))
def test_the_matrices_of_2b4t_are_exact(kernel, T, threads, shape):
    rng = np.random.default_rng(T)
    x_codes = rng.integers(-128, 128, (T, shape[1]), np.int8)
    w_codes = rng.integers(-1, 2, shape, np.int8)
    with use_threads(threads):
        [acc] = find_kernel(kernel)([pack(w_codes)], [shape[0]])(x_codes)
    # Below 2**24 every whole number is a float32.
    product = x_codes.astype(np.float32) @ w_codes.astype(np.float32).T
    assert_array_equal(acc, product.astype(np.int32), strict=True)


def test_an_unknown_kernel_is_refused_by_name():
    with pytest.raises(ValueError, match="kernel must be one of .*masks.*, got 'cuda'"):
        find_kernel("cuda")


def test_a_kernel_may_be_a_function():
    assert find_kernel(blas.prepare) is blas.prepare
    assert find_kernel("lookup") is lookup.prepare


def test_an_index_names_a_table_and_seven_weights():
    rng = np.random.default_rng(0)
    w_codes = rng.integers(-1, 2, (6, 500), np.int8)
    indices = lookup.lay_out([pack(w_codes[:5]), pack(w_codes[5:])], [5, 1])
    tables, numbers = np.divmod(indices, 3**7)
    assert (tables == np.arange(27)[:, None]).all()
    digits = numbers[..., None] // 3 ** np.arange(6, -1, -1) % 3
    found = digits.transpose(2, 0, 1, 3).reshape(6, -1) - 1
    assert_array_equal(found[:, :500], w_codes)
    assert not found[:, 500:].any()  # where there is no activation


@pytest.mark.parametrize(
    ("T", "used", "way"),
    [
        *[(1, 0, "sparse"), (1, 200, "sparse"), (1, 201, "few"), (1, 1000, "few")],
        *[(2, 300, "sparse"), (2, 301, "few"), (3, 400, "sparse"), (3, 401, "few")],
        *[(4, 0, "sparse"), (4, 500, "sparse"), (4, 501, "many"), (4, 1000, "many")],
        *[(50, 500, "sparse"), (50, 501, "many")],
    ],
)
def test_auto_chooses_by_tokens_and_columns_used(T, used, way, monkeypatch):
    assert auto.choose(T, used, 1000) == way
    rng = np.random.default_rng(used)
    w_codes = rng.integers(-1, 2, (6, 1000), np.int8)
    x_codes = np.zeros((T, 1000), np.int8)
    x_codes[T // 2, rng.permutation(1000)[:used]] = rng.integers(1, 128, used)
    called = []

    def spied(name, matmul):
        return lambda x, w: called.append((name, x.shape)) or matmul(x, w)

    for module, name in ((blas, "blas_matmul"), (lookup, "lookup_matmul")):
        monkeypatch.setattr(module, name, spied(name, getattr(module, name)))
    multiply = auto.prepare([pack(w_codes[:5]), pack(w_codes[5:])], [5, 1])
    acc = np.hstack(multiply(x_codes))
    assert_array_equal(acc, ternary_matmul(x_codes, w_codes), strict=True)
    expected = {
        "few": [("lookup_matmul", (T, 1000))],  # both matrices joined
        "many": 2 * [("blas_matmul", (T, 1000))],
        "sparse": 2 * [("blas_matmul", (T, used))],
    }
    assert called == expected[way]
