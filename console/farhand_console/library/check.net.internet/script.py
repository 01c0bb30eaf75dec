"""The internet can be reached: the agent's built-in check net.internet."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("net.internet"))
