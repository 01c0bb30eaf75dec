"""Swap space in use: the agent's built-in check swap.usage."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("swap.usage"))
