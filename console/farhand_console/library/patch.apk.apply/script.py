"""Install updates with apk: the agent's apk provider."""

from farhand_agent.checks.command import script_parameters
from farhand_agent.patches.script import apply_main

raise SystemExit(apply_main("apk", script_parameters))
