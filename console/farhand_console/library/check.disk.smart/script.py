"""Health of the drives: the agent's built-in check disk.smart."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("disk.smart"))
