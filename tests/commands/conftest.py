import signal
from signal import SIGINT, SIGTERM

import pytest
from test_tokenizer import directory as tokenizer_directory  # noqa: F401

from minibitnet.cli import main
from minibitnet.tokenizer import load_tokenizer


@pytest.fixture(scope="module")
def speaking(tmp_path_factory, tokenizer_directory):  # noqa: F811
    """A small random model with a tokenizer."""
    directory = tmp_path_factory.mktemp("speaking") / "model"
    known = load_tokenizer(tokenizer_directory).inner.library.get_vocab_size()
    sizes = ["--vocab-size", str(known), "--context", "64", "--hidden-size", "64"]
    main(["synth", str(directory), *sizes, "--tokenizer", str(tokenizer_directory)])
    return str(directory)


@pytest.fixture(autouse=True)
def signals():
    """What the command does about signals ends with the test."""
    before = {number: signal.getsignal(number) for number in (SIGINT, SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def run(capsys):
    """Run a command line: its status, and what it wrote to either stream."""

    def run(*argv):
        status = main([str(word) for word in argv])
        return (status, *capsys.readouterr())

    return run
