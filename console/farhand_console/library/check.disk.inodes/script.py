"""File entries left on disks: the agent's built-in check disk.inodes."""

from farhand_agent.checks.command import script_main

raise SystemExit(script_main("disk.inodes"))
