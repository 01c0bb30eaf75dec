"""Whom the desk works for."""
