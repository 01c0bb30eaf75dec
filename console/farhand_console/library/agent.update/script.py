"""Update the agent: the agent's own updates."""

from farhand_agent.checks.command import script_parameters
from farhand_agent.updates.script import update_main

raise SystemExit(update_main(script_parameters))
