"""Space left on disks: the agent's built-in check disk.space."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("disk.space"))
