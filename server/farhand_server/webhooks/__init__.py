"""Signed messages to other programs, and from them."""
