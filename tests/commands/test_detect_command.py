import json

import numpy as np
import pytest

from minibitnet.cli import main
from minibitnet.formats import LAYOUTS
from minibitnet.stories import BUILT_IN

UP = "model.layers.0.mlp.up_proj.weight"


def run(capsys, *argv):
    status = main(["detect", *map(str, argv)])
    out, err = capsys.readouterr()
    return status, out, err


def test_a_checkpoint(capsys):
    status, out, _ = run(capsys, BUILT_IN)
    assert status == 0
    lines = out.splitlines()
    assert lines[0].startswith("packed: its rows and columns differ most")
    assert lines[1] == "21 tensors"
    assert len(lines) >= 3 + len(LAYOUTS)
    assert any(line.startswith("rows_low") and "no format" in line for line in lines)
    assert lines[-1].startswith("rows of q and k that RoPE takes as pairs: halves (")


def test_as_json(capsys):
    status, out, _ = run(capsys, BUILT_IN, "--tensor", UP, "--json")
    content = json.loads(out)
    assert (status, content["layouts"], content["sure"]) == (0, ["packed"], True)
    assert (content["tensors"], content["shape"]) == ([UP], [688, 256])
    assert content["rows_of_q_and_k"] is None
    assert {g["layout"] for g in content["guesses"]} >= LAYOUTS.keys()


def test_what_is_no_layout(capsys, tmp_path):
    file = tmp_path / "w\x1b.bin"
    file.write_bytes(bytes(1024))
    status, out, _ = run(capsys, file, "--rows", 16, "--columns", 256)
    assert status == 1
    assert out.startswith("no layout known here gives a ternary matrix\n")
    assert "\x1b" not in out
    assert "w\\x1b.bin, 16 x 256" in out


@pytest.mark.parametrize(
    "argv",
    [[], ["no/such"], ["README.md"], ["x", "--rows", "0"], [BUILT_IN, "--rows", "4"]],
)
def test_a_mistake_is_a_line(capsys, argv):
    status, out, err = run(capsys, *argv)
    assert (status, out, err.count("\n")) == (2, "", 1)


def test_a_tie_names_formats_first(capsys, tmp_path):
    codes = np.random.default_rng(0).integers(-1, 2, (64, 256)).astype(np.int8)
    (tmp_path / "w.bin").write_bytes(LAYOUTS["packed"].pack(codes))
    _, out, _ = run(capsys, tmp_path / "w.bin", "--rows", 64, "--columns", 256)
    assert out.startswith("not sure: packed or an order that no format has (")
    (tmp_path / "w.bin").write_bytes(LAYOUTS["i2_s"].pack(codes))
    _, out, _ = run(capsys, tmp_path / "w.bin", "--rows", 64, "--columns", 256)
    assert " or " in out.split(":")[1]
    assert "no format has" not in out.splitlines()[0]


def test_bytes_without_the_tail_are_called_so(capsys, tmp_path):
    codes = np.random.default_rng(0).integers(-1, 2, (64, 256)).astype(np.int8)
    (tmp_path / "w.bin").write_bytes(LAYOUTS["i2_s"].pack(codes)[:-32])
    _, out, _ = run(capsys, tmp_path / "w.bin", "--rows", 64, "--columns", 256)
    [line] = [line for line in out.splitlines() if line.startswith("blocks_128_high ")]
    assert line.endswith("i2_s, without its tail")
