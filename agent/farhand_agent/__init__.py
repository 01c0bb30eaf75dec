"""Farhand's agent package."""
