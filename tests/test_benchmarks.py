"""The benchmark scripts run, on models so small that their times mean nothing."""

import subprocess
import sys

import pytest
from shared import ROOT

from minibitnet.stories import BUILT_IN

TEXT = "A fox sat on a log. It ran to the river and drank.<|endoftext|>" * 40


def run(script, *arguments):
    command = [sys.executable, str(ROOT / "benchmarks" / script), *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_side_by_side():
    more = ["--model", BUILT_IN, "--rounds", "1", "--contexts", "16,64"]
    rows = run("side_by_side.py", ROOT, ROOT, *more).splitlines()
    assert [row.split(" | ")[0] for row in rows[-3:]] == [
        "| decode at 16",
        "| decode at 64",
        "| prefill 256",
    ]


def test_kernel_limits():
    rows = run("kernel_limits.py", "--rounds", 1, "--tokens", 1, 5).splitlines()[2:]
    assert len(rows) == 4 * 2 * 8
    assert rows[0].startswith("| q, k, v | 1 | 10% | ")
    assert [row.split(" | ")[6] for row in rows[:9:8]] == ["sparse", "sparse"]


def test_draw_speed(tmp_path):
    pytest.importorskip("matplotlib")
    bench = [sys.executable, "-m", "minibitnet", "bench", "--json", "--rounds", "1"]
    sizes = ["--model", str(BUILT_IN), "--prefill", "16", "--decode", "16"]
    ways = ["--ways", "auto,blas", "--threads", "1"]
    made = subprocess.run([*bench, *sizes, *ways], capture_output=True, check=True)
    (tmp_path / "speed.json").write_bytes(made.stdout)
    run("draw_speed.py", tmp_path / "speed.json", tmp_path / "speed.png")
    assert (tmp_path / "speed.png").read_bytes().startswith(b"\x89PNG")


def test_ternary_cost(tmp_path):
    pytest.importorskip("matplotlib")
    (tmp_path / "learn.txt").write_text(TEXT)
    (tmp_path / "judge.txt").write_text("A fox ran.<|endoftext|>")
    sizes = "--hidden-size 32 --intermediate-size 48 --layers 1 --heads 2 --kv-heads 1"
    more = "--vocab-size 280 --context 16 --batch-size 2 --steps 2 --warmup 1"
    texts = [tmp_path / "learn.txt", "--validation", tmp_path / "judge.txt"]
    more = [*sizes.split(), *more.split(), "--out", tmp_path / "costs"]
    table = run("ternary_cost.py", *texts, *more)
    assert table.count("| float32 |") == 1
    assert table.count("ternary weights") == 2
