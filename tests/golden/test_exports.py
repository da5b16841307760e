import shutil
import subprocess

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from minibitnet.golden.exports import to_c, to_hex, write_c_headers, write_hex
from minibitnet.golden.vectorset import FROZEN


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    directory = shutil.copytree(FROZEN, tmp_path_factory.mktemp("set") / "v1")
    write_c_headers(directory)
    write_hex(directory)
    return directory


def test_every_array_is_there_as_hex_and_reads_back(vectors):
    names = {file.stem for file in (vectors / "arrays").glob("*.bin")}
    assert {file.stem for file in (vectors / "hex").iterdir()} == names
    for name in names:
        lines = (vectors / "hex" / f"{name}.hex").read_text().split()
        raw = (vectors / "arrays" / f"{name}.bin").read_bytes()
        assert b"".join(bytes.fromhex(line)[::-1] for line in lines) == raw


@pytest.mark.parametrize("dtype", ["f4", "f8", "i1", "u2", "i4"])
def test_numbers_in_c_are_the_same_numbers(dtype):
    array = np.array([1, 127, 0.1 if dtype[0] == "f" else 3], dtype)
    text = to_c("x", array).split("{")[1].split("}")[0]
    if dtype[0] == "f":
        found = [
            float.fromhex(word.strip().removesuffix("f")) for word in text.split(",")
        ]
    else:
        found = [int(word) for word in text.split(",")]
    assert_array_equal(np.array(found, dtype), array, strict=True)


def test_numbers_that_are_none_and_arrays_of_nothing_have_a_spelling():
    odd = to_c("x", np.float64([np.nan, np.inf, -np.inf]))
    assert odd == "static const double x[3] = {NAN, INFINITY, -INFINITY};"
    assert to_c("x", np.zeros(0, np.uint8)) == "static const uint8_t x[1] = {0};"
    assert to_hex(np.float32([1])) == "3f800000\n"


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_the_headers_compile(vectors, tmp_path):
    headers = sorted((vectors / "c").iterdir())
    assert len(headers) > 20
    source = tmp_path / "all.c"
    lines = [f'#include "{header}"' for header in headers]
    lines += [
        "int main(void) {",
        "  return rms_norm_loud_x[0] == rms_norm_loud_y[0];",
        "}",
    ]
    source.write_text("\n".join(lines) + "\n")
    words = ["cc", "-std=c99", "-Werror", "-fsyntax-only", str(source)]
    subprocess.run(words, check=True, timeout=120)
