"""Restart one systemd service and tell whether it runs afterwards."""

import json
import sys

from farhand_agent.checks.command import script_parameters
from farhand_agent.platforms.commands import run

name = script_parameters()["service"].removesuffix(".service") + ".service"
done = run(["systemctl", "restart", "--", name], timeout_s=150)
state = run(["systemctl", "is-active", "--", name]).text.strip()
sys.stderr.write(done.error_text)
sys.stdout.write(json.dumps({"service": name, "state": state}) + "\n")
raise SystemExit(0 if done.exit_code == 0 and state in ("active", "activating") else 1)
