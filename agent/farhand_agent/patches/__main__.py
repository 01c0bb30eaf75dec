"""`python -I -m farhand_agent.patches --json`: the short-lived process behind the command."""

from __future__ import annotations

from farhand_agent.patches.command import patches

if __name__ == "__main__":
    patches(prog_name="farhand-agent patches")
