"""Install updates with yum: the agent's yum provider."""

from farhand_agent.checks.command import script_parameters
from farhand_agent.patches.script import apply_main

raise SystemExit(apply_main("yum", script_parameters))
