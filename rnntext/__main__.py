"""``python -m rnntext`` is the ``rnntext`` command."""

import sys

from rnntext.cli import main

if __name__ == "__main__":
    sys.exit(main())
