"""Vectors as C headers and as text for hardware, from the same arrays.

A test in C includes them; a test bench in Verilog reads them with ``$readmemh``, a
number a line in hexadecimal, negative ones in two's complement, floats by their bits.

Examples
--------
>>> to_hex(np.int8([3, -1])).split()
['03', 'ff']
>>> to_c("x", np.float32([[0.5, -3]]))
'static const float x[2] = {0x1.0000000000000p-1f, -0x1.8000000000000p+1f};'
"""

from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minibitnet.golden.vectorset import VectorSet, all_entries

Array = NDArray[Any]
IN_C = {"float32": "float", "float64": "double"}


def to_hex(array: Array) -> str:
    """A number a line, by its bits.

    array (...)
    """
    bits = array.ravel().view(f"u{array.itemsize}")
    return "".join(f"{number:0{2 * array.itemsize}x}\n" for number in bits.tolist())


def to_c(name: str, array: Array) -> str:
    """A definition; floats are hexadecimal, so that no digit is lost.

    array (...)
    """
    kind = IN_C.get(str(array.dtype), f"{array.dtype}_t")
    numbers = ", ".join(c_number(number, kind) for number in array.ravel().tolist())
    return f"static const {kind} {name}[{max(array.size, 1)}] = {{{numbers or 0}}};"


def c_number(number: float, kind: str) -> str:
    """A number as C writes it."""
    if not kind.startswith(("float", "double")):
        return str(number)
    if not np.isfinite(number):
        return "NAN" if np.isnan(number) else "INFINITY" if number > 0 else "-INFINITY"
    return number.hex() + ("f" if kind == "float" else "")


def stored_arrays(tested: VectorSet) -> dict[str, Array]:
    """Every array of a set that has a file, by the name of the file."""
    arrays = {}
    for vector in tested.vectors:
        for entry in all_entries(vector):
            if "generator" not in entry and entry.get("stored", True):
                arrays[Path(entry["file"]).stem] = tested.read(entry["file"], entry)
    return arrays


def write_hex(directory: Path) -> None:
    """Write hex/NAME.hex for every array of a set."""
    (directory / "hex").mkdir()
    for name, array in stored_arrays(VectorSet(directory)).items():
        (directory / "hex" / f"{name}.hex").write_bytes(to_hex(array).encode())


def write_c_headers(directory: Path) -> None:
    """Write c/OPERATION.h for every operation of a set."""
    (directory / "c").mkdir()
    lines: dict[str, list[str]] = defaultdict(list)
    for name, array in stored_arrays(VectorSet(directory)).items():
        operation = name.split(".")[0]
        lines[operation].append(to_c(name.replace(".", "_"), array))
    for operation, definitions in lines.items():
        head = ["#pragma once", "#include <math.h>", "#include <stdint.h>"]
        text = "\n".join([*head, *definitions]) + "\n"
        (directory / "c" / f"{operation}.h").write_bytes(text.encode())
