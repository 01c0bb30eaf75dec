"""Install updates with apt: the agent's apt provider."""

from farhand_agent.checks.command import script_parameters
from farhand_agent.patches.script import apply_main

raise SystemExit(apply_main("apt", script_parameters))
