"""Names on the network can be found: the agent's built-in check dns.resolve."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("dns.resolve"))
