import functools
import importlib
import inspect
import pkgutil
import re

import numpy as np
import pytest

import minibitnet as mb

# As "x_codes : ndarray of shape (T, N), int8"; several names, or a list of arrays
ENTRY = re.compile(
    r"^(\w+(?:, \w+)*) : (list of |tuple of two |sequence or )?ndarrays? "
    r"of shape (\(.*?\)), (\w+)( or \w+)?(?:, optional)?$",
    re.MULTILINE,
)


def walk_modules():
    for found in pkgutil.walk_packages(mb.__path__, "minibitnet."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def documented(function):
    parameters, _, returns = (inspect.getdoc(function) or "").partition("Returns\n---")
    return ENTRY.findall(parameters), ENTRY.findall(returns)


def hold(entry, value, letters, where):
    names, several, shape, dtype, other = entry
    where = f"{where}: {names}"
    for array in value if several in ("list of ", "tuple of two ") else [value]:
        array = np.asarray(array)
        if several != "sequence or ":
            assert array.dtype.name in (dtype, other[4:]), f"{where}: dtype"
        # matrices that read the same input have rows of their own
        own = {"M": None, "R": None} if several == "list of " else {}
        hold_shape(array.shape, shape, letters | own if own else letters, where)


def hold_shape(found, documented, letters, where):
    axes = [axis.strip() for axis in documented.strip("()").split(",") if axis.strip()]
    assert len(found) == len(axes), f"{where}: {found} for {documented}"
    for axis, size in zip(axes, found, strict=True):
        if axis.isidentifier() and letters.get(axis) is None:
            letters[axis] = size
        if set(re.findall("[A-Za-z]", axis)) <= letters.keys():
            expected = eval(axis, {}, letters)
            assert size == expected, f"{where}: {axis} is {size} not {expected}"


def held_to_its_docstring(function, seen):
    parameters, returns = documented(function)
    signature = inspect.signature(function)

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        given = signature.bind(*args, **kwargs).arguments
        letters = {}
        for entry in parameters:
            for name in entry[0].split(", "):
                if given.get(name) is not None:
                    hold(entry, given[name], letters, function.__qualname__)
        result = function(*args, **kwargs)
        names = [(entry, name) for entry in returns for name in entry[0].split(", ")]
        is_several = len(names) > 1 or isinstance(result, tuple)
        for (entry, _), value in zip(
            names, result if is_several else [result], strict=False
        ):
            hold(entry, value, letters, function.__qualname__)
        seen.add(function.__qualname__)
        return result

    return wrapper


@pytest.fixture
def seen(monkeypatch):
    modules = list(walk_modules())
    functions = {
        function
        for module in modules
        for function in vars(module).values()
        if inspect.isfunction(function)
        and function.__module__.startswith("minibitnet")
        and not inspect.isgeneratorfunction(function)
        and any(documented(function))
        and "any shape" not in inspect.getdoc(function)
    }
    seen = set()
    wrapped = {
        function: held_to_its_docstring(function, seen) for function in functions
    }
    for module in modules:
        for name, value in list(vars(module).items()):
            if inspect.isfunction(value) and value in wrapped:
                monkeypatch.setattr(module, name, wrapped[value])
    # The table of kernels holds functions too, and they the products they call.
    kernels = importlib.import_module("minibitnet.kernels")
    for name, matmul, lay_out in (
        ("masks", kernels.ternary_matmul_packed, kernels.as_they_lie),
        ("blas", kernels.blas_matmul_packed, kernels.as_they_lie),
        ("popcount", kernels.popcount.popcount_matmul, kernels.popcount.lay_out),
    ):
        prepare = kernels.prepare_each(matmul, lay_out)
        monkeypatch.setitem(kernels.KERNELS, name, prepare)
    return seen


PRODUCTS = {
    "masks": "ternary_matmul_packed",
    "blas": "blas_matmul_packed",
    "lookup": "lookup_matmul",
    "popcount": "popcount_matmul",
}


@pytest.mark.parametrize("kernel", PRODUCTS)
def test_shapes_and_dtypes_are_as_the_docstrings_say(checkpoint, seen, kernel):
    from minibitnet.decode import generate  # with its own module's wrapped functions

    model, _ = mb.checkpoint.load(checkpoint, kernel=kernel)
    list(generate(model, [1, 2, 3], max_new_tokens=3, temperature=1.0, top_k=5))
    mb.model.forward(model, [4, 5])
    assert seen >= {
        *("quantize_activations", "scale_back", "rms_norm", "rotations", "rotate"),
        *("attention", "attend", "softmax", "feed_forward", "run_block", "sample"),
        *("project", "forward", "check_ids", "read", "probabilities", "bit_linear"),
        PRODUCTS[kernel],
    }


def test_a_docstring_that_is_wrong_is_noticed():
    def double(x):
        """Twice as much.

        Parameters
        ----------
        x : ndarray of shape (T, N), float32
            Any.

        Returns
        -------
        y : ndarray of shape (T, N), float32
            Twice `x`.
        """
        return np.append(x, x, axis=1)

    with pytest.raises(AssertionError, match="double: y: N"):
        held_to_its_docstring(double, set())(np.ones((2, 3), np.float32))
    with pytest.raises(AssertionError, match="double: x: dtype"):
        held_to_its_docstring(double, set())(np.ones((2, 3)))


def test_every_module_opens_with_a_sentence_and_most_with_an_example():
    for module in walk_modules():
        first = (module.__doc__ or "").split("\n")[0]
        assert first.endswith("."), f"{module.__name__}: {first!r}"
