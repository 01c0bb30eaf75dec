"""A way out to other networks: the agent's built-in check network.default-route."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("network.default-route"))
