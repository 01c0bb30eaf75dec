"""The agent itself: the agent's built-in check agent.health."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("agent.health"))
