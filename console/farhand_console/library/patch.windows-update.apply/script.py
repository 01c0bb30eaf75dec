"""Install updates with Windows Update: the agent's windows-update provider."""

from farhand_agent.checks.command import script_parameters
from farhand_agent.patches.script import apply_main

raise SystemExit(apply_main("windows-update", script_parameters))
