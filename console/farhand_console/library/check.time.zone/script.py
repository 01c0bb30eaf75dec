"""The time zone is set: the agent's built-in check time.zone."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("time.zone"))
