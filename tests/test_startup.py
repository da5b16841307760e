import os
import subprocess
import sys

import pytest

from minibitnet import startup

PROGRAM = """\
import signal, sys
signal.signal(signal.SIGINT, {before})
{argv}
import minibitnet
print(signal.getsignal(signal.SIGINT) is {after})
from minibitnet.cli import take_signals
take_signals()
print(signal.getsignal(signal.SIGINT) is {before})
"""
RAISE, IGNORE = "signal.default_int_handler", "signal.SIG_IGN"
END = "minibitnet.startup.leave"


@pytest.mark.parametrize(
    ("argv", "before", "after"),
    [
        ("sys.argv = ['-m', 'generate']", RAISE, END),
        ("sys.argv = ['/usr/bin/minibitnet']", RAISE, END),
        ("sys.argv = ['minibitnet.exe']", RAISE, END),
        ("sys.argv = ['-m']", IGNORE, IGNORE),
        ("sys.argv = ['/usr/bin/minibitnet-server']", RAISE, RAISE),
        ("sys.argv = ['server.py', 'minibitnet']", RAISE, RAISE),
        ("sys.argv = []", RAISE, RAISE),
        ("del sys.argv", RAISE, RAISE),
    ],
)
def test_only_the_command_is_ended_by_ctrl_c_while_it_starts(argv, before, after):
    program = PROGRAM.format(argv=argv, before=before, after=after)
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("True\nTrue\n", "")


def test_to_leave_is_to_end_at_once_with_the_status_of_an_interrupt(monkeypatch):
    statuses = []
    monkeypatch.setattr(os, "_exit", statuses.append)
    startup.leave()
    assert statuses == [130]
