"""Install updates with zypper: the agent's zypper provider."""

from farhand_agent.checks.command import script_parameters
from farhand_agent.patches.script import apply_main

raise SystemExit(apply_main("zypper", script_parameters))
