"""Ctrl-C while the command starts: it ends, without a traceback.

Python turns Ctrl-C into an exception, which `cli` catches. But first NumPy and all the
package must be imported, which takes longer than anything else at the start. Until then
the system ends the command, as it would any other program. Where the package is
imported by another program, nothing is changed.
"""

import signal
import sys
from pathlib import PurePath

# Of `python -m minibitnet` the first argument is still "-m" while this is imported.
program = PurePath((getattr(sys, "argv", None) or [""])[0]).stem
raises = signal.getsignal(signal.SIGINT) is signal.default_int_handler
if raises and program in ("-m", "minibitnet"):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
