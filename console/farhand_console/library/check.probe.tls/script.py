"""A server's certificate: the agent's built-in check probe.tls."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("probe.tls"))
