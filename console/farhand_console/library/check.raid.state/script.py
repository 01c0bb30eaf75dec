"""Arrays of disks: the agent's built-in check raid.state."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("raid.state"))
