"""``python -m fastcolor`` is the command ``fastcolor``."""

import sys

from .cli import main

sys.exit(main())
