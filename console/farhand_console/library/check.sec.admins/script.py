"""Who may administer the device: the agent's built-in check sec.admins."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("sec.admins"))
