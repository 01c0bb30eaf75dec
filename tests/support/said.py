"""Does what its argument says in Python, as `python -c` does; for tests of how programs end."""

from __future__ import annotations

import sys

if __name__ == "__main__":
    exec(sys.argv[1])
