"""Timed tasks that failed: the agent's built-in check task.failed."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("task.failed"))
