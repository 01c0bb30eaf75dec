"""Install updates with dnf: the agent's dnf provider."""

from farhand_agent.checks.command import script_parameters
from farhand_agent.patches.script import apply_main

raise SystemExit(apply_main("dnf", script_parameters))
