"""A printer on the network: the agent's built-in check probe.printer."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("probe.printer"))
