"""Temperature of the drives: the agent's built-in check disk.temp."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("disk.temp"))
