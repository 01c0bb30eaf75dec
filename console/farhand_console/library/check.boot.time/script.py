"""How long starting takes: the agent's built-in check boot.time."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("boot.time"))
