from dataclasses import replace

import numpy as np
import pytest

from minibitnet.cli import main
from minibitnet.formats import i2_s
from minibitnet.golden import diagnose
from minibitnet.golden.port import run_port
from minibitnet.golden.traces import write_trace
from minibitnet.golden.zoo import Bug, find_bug, mutate
from minibitnet.stories import BUILT_IN

IDS = [4093, 300, 301]
FEW = ("silu", "scale-missing", "high-bits-first", "code-map", "theta-10000")


@pytest.fixture(autouse=True)
def few_bugs(monkeypatch):
    """Enough to see what is printed."""
    bugs = tuple(find_bug(name) for name in FEW)
    monkeypatch.setattr(diagnose, "PAGE_BUGS", bugs)


def run(capsys, *argv):
    status = main(["diagnose", *map(str, argv)])
    out, err = capsys.readouterr()
    return status, out, err


def dump(path, *bugs, names=()):
    stages = run_port(mutate(*bugs), BUILT_IN, IDS)
    stages = {n: a for n, a in stages.items() if not names or n in names}
    write_trace(path, stages, IDS)
    return path


def test_the_bug_is_named_with_its_line(capsys, tmp_path):
    status, out, _ = run(capsys, dump(tmp_path / "port.npz", find_bug("silu")))
    assert status == 1
    assert out.startswith(
        "tokens: 3, stages: 195, 26 equal the page's, then layers.0.relu2_gate "
        "differs\n"
        "It is silu: the same numbers in every stage.\n"
        "\n  minibitnet/one_page.py:"
    )
    assert '\n-         activation = relu2 if config["hidden_act"]' in out
    assert "\n+         activation = silu\n" in out
    assert "\n  met in     microsoft/BitNet#588\n" in out


def test_a_right_port_is_right_and_what_that_does_not_show_is_said(capsys, tmp_path):
    names = ["layers.0.q"]
    status, out, _ = run(capsys, dump(tmp_path / "port.npz", names=names))
    assert status == 0
    assert out == (
        "tokens: 3, stages: 1, all equal the page's\n"
        "Known bugs that would not show in these numbers: silu, theta-10000.\n"
    )


def test_what_cannot_be_told_apart_is_told(capsys, tmp_path, monkeypatch):
    silu = find_bug("silu")
    monkeypatch.setattr(diagnose, "PAGE_BUGS", (silu, replace(silu, name="swish")))
    _, out, _ = run(capsys, dump(tmp_path / "port.npz", silu))
    assert "It is silu or swish: the same numbers in every stage.\n" in out
    assert out.count("+         activation = silu\n") == 2


def test_the_nearest_is_told_with_how_near(capsys, tmp_path):
    path = tmp_path / "logits.txt"
    logits = run_port(mutate(find_bug("silu")), BUILT_IN, IDS)["logits"]
    np.savetxt(path, logits[-1] * 1.01, fmt="%.5f")
    status, out, _ = run(capsys, path, "--ids", "4093,300,301")
    assert status == 1
    assert "\nNearest is silu: 1 % away on average, the page " in out
    assert "\nThe first difference: logits[0, 0]: " in out
    assert 'return stage("logits", ' in out


def test_a_small_mistake_of_an_exact_port_is_no_rounding(capsys, tmp_path):
    bug = Bug("scale", "", "d**-0.5", "(d + 1)**-0.5", "", "", "")
    port = run_port(mutate(bug), BUILT_IN, IDS)
    np.savez(tmp_path / "port.npz", ids=IDS, **port)
    status, out, _ = run(capsys, tmp_path / "port.npz")
    assert status == 1
    assert "\nNo known bug, and no right port: the page is 0." in out
    assert "then layers.0.attn_weights differs\n" in out


def test_the_help_has_no_example_of_python(capsys):
    with pytest.raises(SystemExit):
        main(["diagnose", "--help"])
    assert ">>>" not in capsys.readouterr().out


def test_a_mistake_with_another_behind_it_is_named(capsys, tmp_path):
    """The port's I2_S has the mistake; matrices that I2_S cannot hold are right."""
    bug = find_bug("code-map")
    wrong, port = mutate(bug.in_layouts()["minibitnet.formats.i2_s"]), mutate()
    right = port.unpack

    def unpack(packed, M):
        w_codes = right(packed, M)
        if w_codes.shape[1] % i2_s.BLOCK:
            return w_codes
        return wrong.unpack(i2_s.pack(w_codes), *w_codes.shape)

    port.unpack = unpack
    write_trace(tmp_path / "port.npz", run_port(port, BUILT_IN, IDS), IDS)
    status, out, _ = run(capsys, tmp_path / "port.npz")
    assert status == 1
    assert "It is code-map: the same numbers up to layers.0.down.acc,\n" in out
    assert "minibitnet/formats/i2_s.py:" in out
    assert bug.symptom in out


def test_another_arithmetic_is_no_mistake(capsys, tmp_path):
    path = tmp_path / "logits.txt"
    np.savetxt(path, run_port(mutate(), BUILT_IN, IDS)["logits"] * 1.02, fmt="%.5f")
    status, out, _ = run(capsys, path, "--ids", "4093 300 301")
    assert status == 0
    assert "No known bug. The page is 2 % away on average, at most 2 % (logits)" in out
    assert "another\narithmetic" in out
    assert "\nThe first difference: logits[0, 0]: " in out


def test_a_mistake_that_is_not_known_is_one(capsys, tmp_path):
    path = tmp_path / "logits.txt"
    logits = np.random.default_rng(0).standard_normal(4096)
    np.savetxt(path, logits, fmt="%.5f")
    status, out, _ = run(capsys, path, "--ids", "4093,300,301")
    assert status == 1
    assert "No known bug, and no right port: the page is 1.4e+02 % away" in out
    assert "\nThe first difference: logits[0, 0]: " in out
    assert '\n  return stage("logits", ' in out


def test_ids_come_from_somewhere_and_are_one(capsys, tmp_path):
    path = dump(tmp_path / "port.npz", names=["layers.0.q"])
    assert run(capsys, path, "--ids", "4093,300,301")[0] == 0
    status, out, err = run(capsys, path, "--ids", "4093,300,302")
    assert (status, out) == (2, "")
    assert err == (
        f"minibitnet: --ids must be those of {path}, [4093, 300, 301], "
        "got [4093, 300, 302]\n"
    )
    (tmp_path / "logits.txt").write_text("1 2 3")
    status, _, err = run(capsys, tmp_path / "logits.txt")
    assert (status, err.endswith("has no ids: say --ids, as 1,2,3\n")) == (2, True)
    status, _, err = run(capsys, tmp_path / "logits.txt", "--ids", "4093")
    assert status == 2
    assert err == (
        "minibitnet: logits: expected rows of 4096 numbers, one for each token, "
        "found shape (3,)\n"
    )
