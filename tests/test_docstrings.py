import inspect
import typing

import numpy as np
import pytest
from shapes import dtypes_of, functions_of, held_to_its_line, line_of, walk_modules

from minibitnet import absmax, forward, rmsnorm
from minibitnet.arrays import F32

TRUNK = (
    *("absmean", "absmax", "packing", "bf16", "matmul", "bitlinear", "rmsnorm", "rope"),
    *("cache", "attention", "feedforward", "model", "sampling", "decode"),
)


def takes_arrays(function):
    hints = typing.get_type_hints(function)
    return any(dtypes_of(hint) for hint in hints.values())


def test_every_module_opens_with_a_sentence():
    for module in walk_modules():
        first = (module.__doc__ or "").split("\n")[0]
        assert first.endswith("."), f"{module.__name__}: {first!r}"


@pytest.mark.parametrize("name", TRUNK)
def test_every_function_of_the_trunk_on_arrays_says_their_shapes(name):
    [module] = [m for m in walk_modules() if m.__name__ == f"minibitnet.{name}"]
    for _, function_name, function in functions_of(module):
        if not function_name.startswith("_") and takes_arrays(function):
            said = line_of(function) or "ndarray of shape" in inspect.getdoc(function)
            assert said, function.__qualname__


def test_functions_are_held_to_their_lines_in_every_test(model):
    before = rmsnorm.rms_norm.calls, absmax.quantize_activations.calls
    forward(model, [1, 2, 3])
    norms = 4 if model.layers[0].mlp.ffn_sub_norm is not None else 2
    assert rmsnorm.rms_norm.calls == before[0] + 3 * norms + 1
    assert absmax.quantize_activations.calls == before[1] + 3 * 4


def double(x: F32, gain: F32 | None = None) -> tuple[F32, F32]:
    """Twice as much.

    x (T, N), gain (N,) -> y (T, 2 * N), last (N,) or ()
    """
    return np.append(x, x[:, :1] if x[0, 0] == 7 else x, axis=1), x[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([np.ones((2, 3))], "x: dtype float64"),
        ([np.ones(3, np.float32)], r"x: \(3,\) for \(T, N\)"),
        ([np.ones((2, 3), np.float32), np.ones(2, np.float32)], "gain"),
        ([np.full((2, 3), 7, np.float32)], r"y: \(2, 4\) for \(T, 2 \* N\)"),
    ],
)
def test_a_call_that_is_not_as_the_line_says_is_noticed(arguments, message):
    held = held_to_its_line(double)
    held(np.ones((2, 3), np.float32), np.ones(3, np.float32))
    with pytest.raises(AssertionError, match=message):
        held(*arguments)
