"""The clock is right: the agent's built-in check clock.offset."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("clock.offset"))
