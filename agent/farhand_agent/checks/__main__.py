"""`python -I -m farhand_agent.checks --id disk.space --json`: checks in a process of their own."""

from __future__ import annotations

from farhand_agent.checks.command import checks

if __name__ == "__main__":
    checks(prog_name="farhand-agent checks")
