"""Days since the last backup: the agent's built-in check backup.age."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("backup.age"))
