"""A name is found on the network: the agent's built-in check probe.dns."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("probe.dns"))
