"""Devices that do not work: the agent's built-in check dev.driver-errors."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("dev.driver-errors"))
