"""Choosing peers."""
