"""More errors in the log than usual: the agent's built-in check log.errors."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("log.errors"))
