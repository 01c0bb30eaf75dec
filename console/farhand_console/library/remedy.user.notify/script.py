"""Show one line on the screens of everybody who is logged in."""

import json
import sys

from farhand_agent.checks.command import script_parameters
from farhand_agent.platforms.screens import show_on_screens

reached = show_on_screens(script_parameters()["message"])
sys.stdout.write(json.dumps({"changed": reached > 0, "screens": reached}) + "\n")
