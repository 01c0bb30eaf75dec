"""Install updates with winget: the agent's winget provider."""

from farhand_agent.checks.command import script_parameters
from farhand_agent.patches.script import apply_main

raise SystemExit(apply_main("winget", script_parameters))
