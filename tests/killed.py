"""Commands that are killed, in a process of their own, where they move a file."""

import signal
import subprocess
import sys

SCRIPT = """
import os, signal, sys
from minibitnet.cli import main
from minibitnet.files import writing
left, replace = int(sys.argv[1]), os.replace

def killed(source, target):
    global left
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    left -= 1
    replace(source, target)

writing.os.replace = killed
sys.exit(main(sys.argv[2:]))
"""


def run_killed(moves, *words):
    """Run a command, killed before so many moves and one; whether it was."""
    words = [str(word) for word in (moves, *words)]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *words], capture_output=True, timeout=60
    )
    assert done.returncode in (0, -signal.SIGKILL), done.stderr
    return done.returncode != 0
