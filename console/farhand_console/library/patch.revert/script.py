"""Take updates back: what the agent wrote down before it changed packages."""

from farhand_agent.checks.command import script_parameters
from farhand_agent.patches.script import revert_main

raise SystemExit(revert_main(script_parameters))
