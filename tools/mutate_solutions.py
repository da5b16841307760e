"""Can the checks of the course be fooled? Change every answer in every small way.

Each function in notebooks/solutions/ is changed in one place: an operator, a constant,
an axis, a comparison, a dtype, a function of NumPy, an argument, a step left out. None
of these mutants may pass its check, but for those in EQUIVALENT, which are as right;
each is listed there with the reason. One that is listed in vain is an error, too.

Use: python tools/mutate_solutions.py
"""

import ast
import copy
import importlib
import importlib.util
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy

SOLUTIONS = Path(__file__).parents[1] / "notebooks" / "solutions"
LOAD = ast.Load()
PATIENCE = 10_000  # turns of a while loop that a mutant may have made endless

OPERATORS = {
    ast.Add: (ast.Sub,),
    ast.Sub: (ast.Add,),
    ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult, ast.FloorDiv),
    ast.FloorDiv: (ast.Div, ast.Mod),
    ast.Mod: (ast.FloorDiv,),
    ast.Pow: (ast.Mult,),
    ast.MatMult: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,),
    ast.LShift: (ast.RShift,),
    ast.RShift: (ast.LShift,),
    ast.Eq: (ast.NotEq,),
    ast.Lt: (ast.LtE, ast.Gt),
    ast.LtE: (ast.Lt, ast.GtE),
    ast.And: (ast.Or,),
}
NAMES = {  # of NumPy's functions and dtypes, and of methods
    "abs": ("square",),
    "argmax": ("argmin",),
    "argsort": ("sort",),
    "clip": ("maximum", "minimum"),
    "concatenate": ("stack",),
    "cos": ("sin",),
    "cumsum": ("cumprod",),
    "exp": ("exp2", "expm1"),
    "float32": ("float16",),
    "int32": ("int8", "int16", "float16"),
    "int8": ("uint8",),
    "max": ("min", "nanmax", "mean"),
    "maximum": ("minimum",),
    "mean": ("median", "sum", "max"),
    "rint": ("round", "trunc", "floor", "ceil"),
    "sin": ("cos",),
    "sqrt": ("square", "cbrt"),
    "square": ("abs",),
    "stack": ("concatenate",),
    "strip": ("lstrip", "rstrip"),
    "sum": ("max", "mean"),
    "uint16": ("int16", "float16"),
    "uint32": ("uint16", "int32"),
    "zeros": ("ones",),
    "zeros_like": ("ones_like",),
}
# Told by what they are part of
SMALL = ast.Constant | ast.Name | ast.operator | ast.cmpop | ast.boolop

NO_NAN = "there is no NaN among the numbers"
LAST = "axis 1 is the last of two"
DTYPE = "the same numbers; no exercise but BitLinear's asks for a dtype"
MEET = "uint8 and int8 meet in int16, which has a -1"
EITHER = "the order of the two does not matter"
EQUIVALENT = {  # what each mutant changes, and why it is as right as before
    "01_absmean.codes": {
        "np.clip(np.rint(W / scale), -1, 1).astype(np.int8) -> "
        "np.clip(np.rint(W / scale), -1, 1)": DTYPE,
        "np.clip(np.rint(W / scale), -1, 1) -> np.clip(-1, np.rint(W / scale), 1)": (
            "clip is minimum(maximum(a, low), high), and the maximum goes both ways"
        ),
        "np.rint -> np.round": "both round halves to even",
    },
    "02_absmax.codes": {
        "np.maximum(np.abs(x).max(axis=1, keepdims=True), np.float32(1e-05)) -> "
        "np.maximum(np.float32(1e-05), np.abs(x).max(axis=1, keepdims=True))": EITHER,
        "np.rint(x * (127 / largest)).astype(np.int8) -> "
        "np.rint(x * (127 / largest))": DTYPE,
        "np.abs(x).max(axis=1, keepdims=True) -> "
        "np.nanmax(np.abs(x), axis=1, keepdims=True)": NO_NAN,
        "np.float32(1e-05) -> 1e-05": "a Python float takes the dtype of the array",
        "axis=1 -> axis=-1": LAST,
        "np.rint -> np.round": "both round halves to even",
    },
    "03_packing.unpack": {
        "np.concatenate(bands).astype(np.int8) -> np.concatenate(bands)": MEET,
        "np.concatenate(bands).astype(np.int8) -> "
        "np.concatenate(bands).astype(np.uint8)": MEET,
        "np.int8(1) -> 1": DTYPE,
        "np.int8 -> np.uint8": MEET,
    },
    "04_matmul.product": {
        "x_codes[:, row == 1].sum(axis=1, dtype=np.int32) -> "
        "x_codes[:, row == 1].sum(axis=1)": "NumPy sums small integers as int64",
        "x_codes[:, row == -1].sum(axis=1, dtype=np.int32) -> "
        "x_codes[:, row == -1].sum(axis=1)": "NumPy sums small integers as int64",
        "axis=1 -> axis=-1": LAST,
    },
    "06_rmsnorm.norm": {"axis=1 -> axis=-1": LAST},
    "07_feedforward.gated": {"np.maximum(gate, 0) -> np.maximum(0, gate)": EITHER},
    "09_attention.gathered": {
        "np.array(rows) -> rows": "a list of rows is made an array by the check",
        "len(keys) -> len(values)": "there are as many values as keys",
        "scores.max() -> np.nanmax(scores)": NO_NAN,
    },
    "10_model.next_token": {
        "rms_norm(h[-1:], gain, 1e-05)[0] -> rms_norm(h[-1:], gain, 1e-05)[-1]": (
            "there is one row"
        ),
        "rms_norm(h[-1:], gain, 1e-05) -> rms_norm(h[-1:], gain, 5e-06)": (
            "eps makes all logits smaller by one factor, and the order stays"
        ),
        "rms_norm(h[-1:], gain, 1e-05) -> rms_norm(h[-1:], gain, 2e-05)": (
            "eps makes all logits smaller by one factor, and the order stays"
        ),
    },
    "11_checkpoint.matrix": {
        "content[:8].tobytes() -> content[:8]": "int.from_bytes takes an array, too",
        ":8 -> :7": "the eighth byte counts in 2**56, and is 0",
        "begin:end -> begin:": "the one matrix goes to the end of the file",
        "begin:end -> :end": "the one matrix begins where the header ends",
        "content[8 + length:][begin:end].view(np.uint16) -> "
        "content[8 + length:][begin:end].view(np.int16)": (
            "a sign goes into the upper half, and is shifted out"
        ),
        "bits.astype(np.uint32) -> bits.astype(np.int32)": "the same 32 bits",
    },
    "12_sampling.probs": {
        "before < top_p -> before <= top_p": (
            "only a sum that is exactly top_p shows it, and sums of floats are not"
        ),
        "logits.max() -> np.nanmax(logits)": NO_NAN,
    },
    "14_kernels.table": {
        "np.zeros(1, np.int32) -> np.zeros(1)": DTYPE,
        "np.zeros(1, np.int32) -> np.zeros(1, np.int8)": "0 plus an int32 is an int32",
        "np.zeros(1, np.int32) -> np.zeros(1, np.int16)": "0 plus an int32 is an int32",
        "np.zeros(1, np.int32) -> np.zeros(1, np.float16)": DTYPE,
        "x_codes.astype(np.int32) -> x_codes.astype(np.int16)": (
            "16 bits hold seven codes of 128"
        ),
        "x_codes.astype(np.int32) -> x_codes.astype(np.float16)": (
            "float16 holds whole numbers up to 2048, and seven codes of 128"
        ),
    },
    "14_kernels.dot": {
        "np.array([1, 2, 4, 8, 16, 32, 64, -128]) -> [1, 2, 4, 8, 16, 32, 64, -128]": (
            "a product with an array makes an array of a list"
        ),
        "worth @ ones.sum(axis=1) -> ones.sum(axis=1) @ worth": EITHER,
        "axis=1 -> axis=-1": LAST,
    },
    "17_stages.first": {
        "np.abs(a).max() -> np.nanmax(np.abs(a))": NO_NAN,
        "a - b -> b - a": "the absolute value is taken",
    },
    "18_layouts.unpack": {
        "np.zeros(M * N, np.int8) -> np.zeros(M * N)": DTYPE,
        "np.zeros -> np.ones": "every code is written",
    },
}


def mutants(function: ast.FunctionDef) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every change of a function: what it changes into what, and the function."""
    arguments = [argument.arg for argument in function.args.args]
    parent = {
        c: node for node in ast.walk(function) for c in ast.iter_child_nodes(node)
    }
    seen = {ast.unparse(function)}
    for n, node in enumerate(ast.walk(function)):
        above = parent.get(node)
        small = isinstance(node, SMALL) or is_argument(node, above)
        whole = above if small else node
        for new in changes(node, arguments):
            mutant = copy.deepcopy(function)
            old = list(ast.walk(mutant))[n]
            mutant = ast.fix_missing_locations(Replace(old, new).visit(mutant))
            if (text := ast.unparse(mutant)) not in seen:
                seen.add(text)
                yield described(whole, node, new), mutant


def is_argument(node: ast.AST, above: ast.AST | None) -> bool:
    """Whether a node is a name such as np.int32 that is given to a call."""
    return isinstance(node, ast.Attribute) and node in getattr(above, "args", ())


def described(whole: ast.AST, node: ast.AST, new: ast.AST | None) -> str:
    """What a mutant has in place of what."""
    after = new
    if whole is not node:
        after = copy.deepcopy(whole)
        at = list(ast.walk(whole)).index(node)
        after = Replace(list(ast.walk(after))[at], new).visit(after)
    return f"{ast.unparse(whole)} -> {ast.unparse(after) if after else 'nothing'}"


class Replace(ast.NodeTransformer):
    """One node in place of another; None takes it out."""

    def __init__(self, old: ast.AST, new: ast.AST | None):
        self.old, self.new = old, new

    def visit(self, node: ast.AST) -> Any:
        """The node itself, or the new one."""
        return self.new if node is self.old else self.generic_visit(node)


def changes(node: ast.AST, arguments: list[str]) -> Iterator[ast.AST | None]:
    """What may stand in place of a node."""
    yield from changed_operators(node)
    match node:
        case ast.Constant(value=bool() as value):
            yield ast.Constant(not value)
        case ast.Constant(value=int() | float() as value):
            near = {value + 1, value - 1} if isinstance(value, int) else {value / 2}
            others = sorted({2 * value, -value, *near} - {value})
            yield from map(ast.Constant, others)
        case ast.Constant(value=str() as value):
            yield from map(ast.Constant, (value[1:], value[:-1], value.swapcase()))
        case ast.Name(id=name, ctx=ast.Load()) if name in arguments:
            yield from (ast.Name(other, LOAD) for other in arguments if other != name)
        case ast.Call():
            yield from changed_calls(node)
        case ast.Attribute(value=ast.Name(id="np") as np, attr=name):
            yield from (ast.Attribute(np, new, LOAD) for new in NAMES.get(name, ()))
        case ast.Slice(lower=lower, upper=upper, step=step):
            yield ast.Slice(upper, lower, step)
            yield from (ast.Slice(lower, None, step), ast.Slice(None, upper, step))
        case ast.IfExp(body=body, orelse=orelse):
            yield from (body, orelse)
        case ast.List(elts=elements) | ast.Tuple(elts=elements, ctx=ast.Load()):
            yield type(node)(elements[::-1], LOAD)
            yield from (
                type(node)(elements[:n] + elements[n + 1 :], LOAD)
                for n in range(len(elements))
            )
        case ast.AugAssign():
            yield None
        case ast.Return(value=value):
            yield ast.Return(ast.UnaryOp(ast.USub(), value))


def changed_operators(node: ast.AST) -> Iterator[ast.AST]:
    """Another operator; operands exchanged; one of them left out."""
    match node:
        case ast.operator() | ast.cmpop() | ast.boolop():
            yield from (new() for new in OPERATORS.get(type(node), ()))
        case ast.BinOp(left=left, op=op, right=right):
            yield from (left, right)
            if not isinstance(op, ast.Add | ast.Mult | ast.BitAnd):
                yield ast.BinOp(right, op, left)
        case ast.BoolOp(op=op, values=values):
            yield from values
        case ast.UnaryOp(operand=operand):
            yield operand


def changed_calls(node: ast.Call) -> Iterator[ast.AST]:
    """A call left out, or with its arguments exchanged, or one of them left out."""
    function, args, keywords = node.func, node.args, node.keywords
    for n in range(len(keywords)):
        yield ast.Call(function, args, keywords[:n] + keywords[n + 1 :])
    for n in range(len(args)):
        yield ast.Call(function, args[:n] + args[n + 1 :], keywords)
    if len(args) > 1:
        yield ast.Call(function, args[::-1], keywords)
        yield ast.Call(function, [args[1], args[0], *args[2:]], keywords)
    yield from args
    match function:
        case ast.Attribute(value=ast.Name(id="np")):
            return
        case ast.Attribute(value=value, attr=name):
            yield value
            for new in NAMES.get(name, ()):
                if hasattr(str, new) or hasattr(numpy.ndarray, new):
                    yield ast.Call(ast.Attribute(value, new, LOAD), args, keywords)
                else:
                    call = ast.Attribute(ast.Name("np", LOAD), new, LOAD)
                    yield ast.Call(call, [value, *args], keywords)


class Bounded(ast.NodeTransformer):
    """While loops that end, at the latest after `PATIENCE` turns."""

    def visit_While(self, node: ast.While) -> ast.While:
        """The loop with a counter beside its condition."""
        counter = ast.Call(ast.Name("_turn", LOAD), [], [])
        node.test = ast.BoolOp(ast.And(), [counter, node.test])
        return node


def compiled(function: ast.FunctionDef, names: dict[str, Any]) -> Callable[..., Any]:
    """A mutant, to be called."""
    turns = iter(range(PATIENCE))
    scope = names | {"_turn": lambda: next(turns) >= 0}
    tree = ast.Module([Bounded().visit(copy.deepcopy(function))], [])
    exec(compile(ast.fix_missing_locations(tree), "mutant", "exec"), scope)
    return scope[function.name]


def solutions(file: Path) -> tuple[dict[str, Any], list[ast.FunctionDef]]:
    """What a file of solutions defines, and its functions as trees."""
    spec = importlib.util.spec_from_file_location(f"solutions_{file.stem}", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    tree = ast.parse(file.read_text("utf-8"))
    return vars(module), [n for n in tree.body if isinstance(n, ast.FunctionDef)]


def tried(file: Path) -> Iterator[tuple[str, dict[str, list[bool]]]]:
    """Of each function: its mutants, and whether they pass the check."""
    checks = importlib.import_module(f"minibitnet.course.{file.stem[3:]}")
    names, functions = solutions(file)
    for function in functions:
        check, passed = getattr(checks, f"check_{function.name}"), {}
        for change, mutant in mutants(function):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the nonsense was made here
                right = check(compiled(mutant, names)).right is True
            passed.setdefault(change, []).append(right)
        yield f"{file.stem}.{function.name}", passed


def faults(name: str, passed: dict[str, list[bool]]) -> list[str]:
    """Mutants that pass and are not listed as right; those that are, and do not."""
    known = EQUIVALENT.get(name, {})
    found = [f"passes: {c}" for c, r in passed.items() if any(r) and c not in known]
    found += [f"is caught: {c}" for c, r in passed.items() if not all(r) and c in known]
    return found + [f"is no mutant: {c}" for c in known if c not in passed]


def main() -> int:
    """Print a row an exercise; 1 if there is a fault."""
    count = 0
    for file in sorted(SOLUTIONS.glob("[0-9]*.py")):
        for name, passed in tried(file):
            every = sum(passed.values(), [])
            print(f"{name:24} {len(every):4} mutants, {sum(every):2} of them as right")
            for fault in faults(name, passed):
                count += 1
                print(f"{name}: {fault}", file=sys.stderr)
    return int(count > 0)


if __name__ == "__main__":
    sys.exit(main())
