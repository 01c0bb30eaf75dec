"""Patch providers: what the system's package managers would update, and doing it."""
