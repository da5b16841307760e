"""``python -m minibitnet`` is the command ``minibitnet``."""

import sys

from minibitnet.cli import main

sys.exit(main())
