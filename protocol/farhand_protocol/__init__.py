"""Farhand's protocol package."""
