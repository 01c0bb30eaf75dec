"""Home folders: the agent's built-in check user.profile."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("user.profile"))
