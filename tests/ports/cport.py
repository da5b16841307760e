"""ports/c/bitnet.c compiled and run, and the page beside it."""

import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import minibitnet as mb
from minibitnet import one_page
from minibitnet.stories import BUILT_IN

SOURCE = Path(__file__).parents[2] / "ports" / "c" / "bitnet.c"
ANSWER = SOURCE.with_name("answer.c")  # the port's answers to vectors
RECORDED = Path(__file__).parents[1] / "recorded"
CHECKPOINTS = [BUILT_IN, *sorted(RECORDED.iterdir())]
STORY = "Once upon a time there was a fox. He lived by the river, and one day he"
CC = shutil.which(os.environ.get("CC", "cc"))
EXACT = "-ffp-contract=off"

needs_compiler = pytest.mark.skipif(CC is None, reason="there is no C compiler")


# What a sanitizer finds is not to be taken for a refusal, whose status is 1.
FOUND = {"ASAN_OPTIONS": "exitcode=99", "UBSAN_OPTIONS": "exitcode=99"}


def compile_c(source, program, *flags):
    """Compile; returns what the compiler said."""
    words = [CC, *flags, str(source), "-lm", "-o", str(program)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stderr


def run_c(program, *words):
    words = [program, *map(str, words)]
    env = os.environ | FOUND
    done = subprocess.run(words, capture_output=True, timeout=120, env=env)
    return done.returncode, done.stdout, done.stderr.decode()


def join(ids):
    return ",".join(map(str, ids))


def ids_for(directory):
    if directory == BUILT_IN:
        return mb.load()[1].encode(STORY)
    with np.load(directory / "recorded.npz") as recorded:
        return [int(token) for token in recorded["ids"]]


def read_trace(path):
    """The arrays of a stream: a line NAME DTYPE DIM ..., then the bytes."""
    stages = {}
    with path.open("rb") as stream:
        while line := stream.readline():
            name, dtype, *dims = line.decode().split()
            shape, dtype = [*map(int, dims)], np.dtype(dtype)
            raw = stream.read(int(np.prod(shape)) * dtype.itemsize)
            stages.setdefault(name, []).append(np.frombuffer(raw, dtype).reshape(shape))
    return {name: np.concatenate(rows) for name, rows in stages.items()}


def trace_c(program, directory, ids, pieces, path):
    done = run_c(program, "--trace", path, directory, join(ids), join(pieces))
    assert done == (0, b"", "")
    stages = read_trace(path)
    assert stages.pop("ids").tolist() == list(ids)
    return stages


def trace_page(directory, ids, pieces):
    config, weights = one_page.load(directory)
    stages, cache = {}, []
    for piece in np.split(np.array(ids), np.cumsum(pieces)[:-1]):
        trace = {}
        one_page.forward(config, weights, piece, cache, trace)
        for name, array in trace.items():
            if not name.endswith("attn_weights"):
                stages.setdefault(name, []).append(array)
    return {name: np.concatenate(rows) for name, rows in stages.items()}


def first_difference(found, expected):
    """The first stage that is missing or has another bit; None if there is none."""
    for name, array in expected.items():
        other = found.get(name)
        same = other is not None and (other.dtype, other.shape) == (
            array.dtype,
            array.shape,
        )
        if not same or other.tobytes() != array.tobytes():
            return name
    return None
