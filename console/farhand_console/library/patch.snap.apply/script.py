"""Install updates with snap: the agent's snap provider."""

from farhand_agent.checks.command import script_parameters
from farhand_agent.patches.script import apply_main

raise SystemExit(apply_main("snap", script_parameters))
