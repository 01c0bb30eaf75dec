"""A web page answers: the agent's built-in check probe.http."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("probe.http"))
