"""Deploying the agent over SSH: install, enrol, start, upgrade, remove; on one host or many."""
