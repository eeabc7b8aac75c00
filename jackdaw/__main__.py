"""``python -m jackdaw`` is the ``jackdaw`` command."""

import sys

from jackdaw.cli import main

sys.exit(main())
