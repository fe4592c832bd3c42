"""`python -m engine.cli` is `stoker`."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main())
