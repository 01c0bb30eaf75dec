"""Inventory: one collector per section, run in a short-lived process of its own."""
