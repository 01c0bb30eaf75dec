"""Farhand's server package."""
