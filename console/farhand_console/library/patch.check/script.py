"""What the package managers would update: the agent's patch providers."""

from farhand_agent.checks.command import script_parameters
from farhand_agent.patches.script import check_main

raise SystemExit(check_main(script_parameters))
