"""Farhand's console package."""
