"""Sudden switching off: the agent's built-in check power.events."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("power.events"))
