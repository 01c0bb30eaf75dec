"""Install updates with brew: the agent's brew provider."""

from farhand_agent.checks.command import script_parameters
from farhand_agent.patches.script import apply_main

raise SystemExit(apply_main("brew", script_parameters))
