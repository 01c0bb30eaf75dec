"""The way out answers: the agent's built-in check net.gateway."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("net.gateway"))
