"""Days since the last start: the agent's built-in check uptime."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("uptime"))
