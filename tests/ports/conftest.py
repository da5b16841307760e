import subprocess

import pytest
from cport import EXACT, SOURCE, compile_c

SANITIZED = ("-O1", EXACT, "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@pytest.fixture(scope="session")
def programs(tmp_path_factory):
    """The port, compiled once for each set of flags."""
    directory, made = tmp_path_factory.mktemp("c"), {}

    def program(*flags):
        if flags not in made:
            made[flags] = directory / f"bitnet{len(made)}"
            compile_c(SOURCE, made[flags], *flags)
        return made[flags]

    return program


@pytest.fixture(scope="session")
def sanitized(programs):
    """The port that stops at a wrong access; the plain one where none can be had."""
    try:
        program = programs(*SANITIZED)
        subprocess.run([program], capture_output=True, timeout=60, check=False)
    except AssertionError:
        return programs("-O2", EXACT)
    return program
