"""A machine answers: the agent's built-in check probe.ping."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("probe.ping"))
