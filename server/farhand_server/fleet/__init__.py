"""The fleet: devices, what they report, scripts, orders and campaigns."""
