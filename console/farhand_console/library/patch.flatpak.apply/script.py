"""Install updates with flatpak: the agent's flatpak provider."""

from farhand_agent.checks.command import script_parameters
from farhand_agent.patches.script import apply_main

raise SystemExit(apply_main("flatpak", script_parameters))
