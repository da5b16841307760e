import subprocess

import pytest
from cport import ANSWER, EXACT, SOURCE, compile_c

SANITIZED = ("-O1", EXACT, "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """The port or its answers, compiled once for each set of flags."""
    directory, made = tmp_path_factory.mktemp("c"), {}

    def program(*flags, source=SOURCE):
        if (flags, source) not in made:
            made[flags, source] = directory / f"{source.stem}{len(made)}"
            compile_c(source, made[flags, source], *flags)
        return made[flags, source]

    return program


@pytest.fixture(scope="session")
def sanitized(programs):
    """The port that stops at a wrong access; the plain one where none can be had."""
    return sanitize(programs, SOURCE)


@pytest.fixture(scope="session")
def sanitized_answers(programs):
    """The program that answers vectors, likewise."""
    return sanitize(programs, ANSWER)


def sanitize(programs, source):
    try:
        program = programs(*SANITIZED, source=source)
        subprocess.run([program], capture_output=True, timeout=60, check=False)
    except AssertionError:
        return programs("-O2", EXACT, source=source)
    return program
