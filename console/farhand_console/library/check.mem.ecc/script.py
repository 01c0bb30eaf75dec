"""Errors in memory modules: the agent's built-in check mem.ecc."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("mem.ecc"))
