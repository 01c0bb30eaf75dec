"""The package manager is sound: the agent's built-in check packages.health."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("packages.health"))
