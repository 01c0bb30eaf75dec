"""`python -I -m farhand_agent.inventory --sections a,b --json`: the short-lived collector process.

The resident agent starts this and reads one JSON object from it; it never imports a collector.
"""

from __future__ import annotations

import os
import sys

from farhand_agent.inventory.command import inventory


def main() -> None:
    """Run the command and leave at once."""
    code = 0
    try:
        inventory(prog_name="farhand-agent inventory")
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    sys.stdout.flush()
    sys.stderr.flush()
    # A collector that hangs in the kernel must not keep this process; everything is written.
    os._exit(code)


if __name__ == "__main__":
    main()
