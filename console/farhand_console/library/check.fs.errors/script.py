"""Errors of file systems: the agent's built-in check fs.errors."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("fs.errors"))
