"""Secure start and security chip: the agent's built-in check sec.secureboot-tpm."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("sec.secureboot-tpm"))
