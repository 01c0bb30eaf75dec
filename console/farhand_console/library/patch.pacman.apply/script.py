"""Install updates with pacman: the agent's pacman provider."""

from farhand_agent.checks.command import script_parameters
from farhand_agent.patches.script import apply_main

raise SystemExit(apply_main("pacman", script_parameters))
