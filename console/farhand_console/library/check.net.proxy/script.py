"""The proxy answers: the agent's built-in check net.proxy."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("net.proxy"))
