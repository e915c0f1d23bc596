"""`python -m histrio.cli` is the command `histrio`, for when its script is not on the path."""

import sys

from histrio.cli import main

if __name__ == "__main__":
    sys.exit(main())
