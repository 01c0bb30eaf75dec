"""Install updates with apt: the agent's apt provider."""

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
        "apt",
        security_only=parameters.get("scope", "security") != "all",
        refresh=parameters.get("refresh", True) is True,
    )
)
