"""The resident agent's program: what `farhand-agent run` becomes.

It runs `farhand_agent.daemon`, and sees to it first that the libraries below bring no more memory
with them than is used (`late_modules`).

Run as `python -P -m farhand_agent.resident HOME`.
"""

from __future__ import annotations

import sys

from farhand_agent.late_modules import leave_for_later

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Run the resident agent of a home; returns the exit status."""
    leave_for_later()
    # Late, because all that it imports is to be found that way.
    from farhand_agent import daemon

    return daemon.main(arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
