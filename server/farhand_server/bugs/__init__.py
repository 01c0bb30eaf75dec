"""Bugs: one fault that many tickets are about, and what its makers say of it."""
