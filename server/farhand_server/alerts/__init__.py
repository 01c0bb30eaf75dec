"""Alerts: what checks on devices found wrong, joined with tickets, suppressed and damped."""
