"""Install updates with dnf: the agent's dnf provider."""

import sys

from farhand_agent.checks.command import script_parameters
from farhand_agent.patches.command import script_apply
from farhand_protocol.errors import FarhandError

try:
    parameters = script_parameters()
except FarhandError as error:
    sys.stderr.write(f"{error}\n")
    raise SystemExit(1) from error
raise SystemExit(
    script_apply(
        "dnf",
        security_only=parameters.get("scope", "security") != "all",
        refresh=parameters.get("refresh", True) is True,
    )
)
