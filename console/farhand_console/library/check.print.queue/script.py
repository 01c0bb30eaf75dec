"""Printing: the agent's built-in check print.queue."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("print.queue"))
