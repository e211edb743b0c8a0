"""``python -m fastcolor`` is the command ``fastcolor``."""

import sys

from .commands.main import main

sys.exit(main())
