"""What the package managers would update: the agent's patch providers."""

from farhand_agent.patches.command import script_check

raise SystemExit(script_check())
