"""Slowing down because of heat: the agent's built-in check cpu.throttle."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("cpu.throttle"))
