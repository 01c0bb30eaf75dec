"""A domain's mail settings: the agent's built-in check probe.mail."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("probe.mail"))
