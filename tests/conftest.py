"""Two small random models: the architecture of 2B4T and that of Llama."""

import signal

import pytest
import shapes
from hypothesis import settings
from small import SMALL, SMALL_LLAMA

import minibitnet
from minibitnet.checkpoint.synth import write_checkpoint
from minibitnet.cli import main

shapes.hold_the_package()  # before any test takes a function from it

# What a shell starts in the background ignores Ctrl-C, and so does all that it starts.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A slow machine is no mistake. All else stays as it is, under CI as elsewhere.
settings.register_profile("patient", parent=settings.default, deadline=None)
settings.load_profile("patient")


@pytest.fixture(scope="session", params=[SMALL, SMALL_LLAMA], ids=["2b4t", "llama"])
def checkpoint(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("small")
    return write_checkpoint(directory, request.param, seed=1)


@pytest.fixture(scope="session")
def model(checkpoint):
    return minibitnet.load(checkpoint)[0]


@pytest.fixture(scope="session")
def speaking(tmp_path_factory):
    """A random model with a tokenizer, whose tokens are the bytes."""
    directory = tmp_path_factory.mktemp("speaking") / "model"
    sizes = ["--vocab-size", "259", "--context", "128", "--hidden-size", "64"]
    assert main(["synth", str(directory), *sizes]) == 0
    return str(directory)


@pytest.fixture
def run(capsys):
    """Run a command line: its status, and what it wrote to either stream."""

    def run(*argv):
        status = main([str(word) for word in argv])
        return (status, *capsys.readouterr())

    return run


@pytest.fixture(autouse=True)
def signals():
    """What the command does about signals ends with the test."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)
