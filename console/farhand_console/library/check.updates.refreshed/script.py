"""Age of what is known about updates: the agent's built-in check updates.refreshed."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("updates.refreshed"))
