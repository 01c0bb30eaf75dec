"""Access control by the system: the agent's built-in check sec.mac."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("sec.mac"))
