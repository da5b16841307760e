"""Functions held to the line of shapes in their docstrings, whenever a test calls them.

The line reads as ``x (T, N), gain (N,) -> y (T, N)``. A letter is whatever size it
first meets in a call and must be the same wherever it stands again; ``[(T, M)]`` is a
list of arrays, each with an M of its own; ``(...)`` is any shape, the same each time;
``(T, V) or (V,)`` is one or the other; ``anything`` is what is still to be checked.
Dtypes are those of the annotations.
"""

import functools
import importlib
import inspect
import math
import pkgutil
import re
import typing

import numpy as np

import minibitnet

SHAPE = r"\((?:[^()]|\([^()]*\))*\)"
ENTRY = re.compile(rf"(\w+) (\[)?({SHAPE})(?: or ({SHAPE}))?\]?")
LINE = re.compile(rf"^\s*((?:{ENTRY.pattern}(?:, )?)+|anything) -> (.+)$", re.M)
# Training shares these with inference; its tests call them with float64.
SHARED = ("quantize_activations", "quantize_weights", "rotate")
OF_EACH = "MR"  # sizes that differ between the arrays of a list


def line_of(function):
    """What goes in and what comes out, as lists of (name, is a list, shapes)."""
    found = LINE.search(function.__doc__ or "")
    if found is None:
        return None
    sides = found[1], found[0].rsplit(" -> ", 1)[1]
    return [
        [
            (name, bool(bracket), [s for s in (shape, other) if s])
            for name, bracket, shape, other in ENTRY.findall(side)
        ]
        for side in sides
    ]


@functools.cache
def letters_in(expression):
    return frozenset(re.findall(r"\b[A-Za-z]\b", expression))


def size_of(expression, letters):
    """The size an axis must have, or None if a letter in it is not yet known."""
    if expression in letters:
        return letters[expression]
    if letters_in(expression) <= letters.keys():
        return eval(expression, {"ceil": math.ceil}, letters)
    return None


def fits(found, documented, letters):
    """Whether a shape is the documented one; the letters it binds, if it is."""
    axes = [axis.strip() for axis in documented[1:-1].split(",") if axis.strip()]
    bound = dict(letters)
    if axes[:1] == ["..."]:
        axes, rest = axes[1:], len(found) - len(axes) + 1
        if rest < 0 or bound.setdefault("...", found[:rest]) != found[:rest]:
            return None
        found = found[rest:]
    if len(axes) != len(found):
        return None
    for axis, size in zip(axes, found, strict=True):
        if axis.isidentifier():
            bound.setdefault(axis, size)
        if size_of(axis, bound) not in (size, None):
            return None
    return bound


@functools.cache  # it is asked for at every call
def dtypes_of(hint):
    """The NumPy scalar types that an annotation allows; none if it is no array."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is np.ndarray:
        kind = typing.get_args(args[1])[0]
        kind = typing.get_origin(kind) or kind
        return [np.generic if kind is typing.Any else kind]
    if origin is list or "Union" in str(origin):
        return [kind for arg in args for kind in dtypes_of(arg)]
    return [hint] if isinstance(hint, type) and issubclass(hint, np.generic) else []


def hold(entry, value, kinds, letters, where):
    name, is_list, shapes = entry
    for array in value if is_list else [value]:
        array = np.asarray(array)
        known = {k: v for k, v in letters.items() if not (is_list and k in OF_EACH)}
        bound = [b for s in shapes if (b := fits(array.shape, s, known)) is not None]
        wanted = " or ".join(shapes)
        assert bound, f"{where}: {name}: {array.shape} for {wanted} with {letters}"
        if not is_list:
            letters.update(bound[0])
        right = not kinds or any(np.issubdtype(array.dtype, kind) for kind in kinds)
        assert right, f"{where}: {name}: dtype {array.dtype}, not {kinds}"


def held_to_its_line(function):
    """The same function; arrays that are not as its line says fail the test."""
    inputs, outputs = line_of(function)
    signature = inspect.signature(function)
    try:
        hints = typing.get_type_hints(function)
    except NameError:  # of a type that is imported for type checkers only
        hints = {}
    where = function.__qualname__
    back = hints.get("return")
    several = typing.get_args(back) if typing.get_origin(back) is tuple else (back,)

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        given = signature.bind(*args, **kwargs).arguments
        letters = {k: v for k, v in given.items() if len(k) == 1 and type(v) is int}
        arrays = [value for value in given.values() if isinstance(value, np.ndarray)]
        wide = all(array.dtype == np.float64 for array in arrays)
        free = wide and function.__name__ in SHARED
        for entry in inputs:
            if (value := given.get(entry[0])) is not None:
                kinds = [] if free else dtypes_of(hints.get(entry[0]))
                hold(entry, value, kinds, letters, where)
        result = function(*args, **kwargs)
        results = result if isinstance(result, tuple) else (result,)
        results = () if result is None else results
        for entry, value, hint in zip(outputs, results, several, strict=False):
            hold(entry, value, [] if free else dtypes_of(hint), letters, where)
        wrapper.calls += 1
        return result

    wrapper.calls = 0
    return wrapper


def walk_modules():
    for found in pkgutil.walk_packages(minibitnet.__path__, "minibitnet."):
        if not found.name.endswith("__main__"):
            yield importlib.import_module(found.name)


def functions_of(module):
    """Functions and methods defined in a module, each with where it is kept."""
    for name, value in list(vars(module).items()):
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(value):
            yield module, name, value
        elif inspect.isclass(value):
            for method, inner in list(vars(value).items()):
                if inspect.isfunction(inner):
                    yield value, method, inner


def hold_the_package():
    """Put a held function in place of each that has a line, wherever it is known."""
    modules = list(walk_modules())
    held = {}
    for module in modules:
        for owner, name, function in functions_of(module):
            if line_of(function) and not inspect.isgeneratorfunction(function):
                held[function] = held_to_its_line(function)
                setattr(owner, name, held[function])
    for module in modules:
        for name, value in list(vars(module).items()):
            if inspect.isfunction(value) and value in held:
                setattr(module, name, held[value])  # imported from another module
            elif isinstance(value, dict):
                for key, inner in list(value.items()):
                    if inspect.isfunction(inner) and inner in held:
                        value[key] = held[inner]
    return held.values()
