"""Ctrl-C while the command starts: it ends, without a traceback.

Python turns Ctrl-C into an exception, which `cli` catches. But first NumPy and all the
package must be imported, and that takes longer than anything else at the start. Until
then Ctrl-C ends the command at once. Where another program imports the package, nothing
is changed.
"""

import os
import signal
import sys
from pathlib import PurePath


def leave(*_: object) -> None:
    """End now, with the status of a program that was interrupted."""
    os._exit(130)


# Of `python -m minibitnet` the first argument is still "-m" while this is imported.
program = PurePath((getattr(sys, "argv", None) or [""])[0]).stem
raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if raises and program in ("-m", "minibitnet"):
    signal.signal(signal.SIGINT, leave)
